// What the hub has to say of this sandbox (hub/life.py), as notifications of JupyterLab. The hub words them, in the person's
// language; this only asks once a minute. A federated extension by hand: it shares no module, so there is nothing to build.
"use strict";
(() => {
  const KEEP = "sandbox-guard:keep";
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const address = `${config.hubPrefix}life/${config.hubServerName}`;
  const told = new Set();
  let xsrf = "";

  async function look(app) {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    if (!answer.ok) return; // the hub is away for a moment
    const said = await answer.json();
    xsrf = said.xsrf;
    for (const notice of said.notices) {
      if (told.has(notice.key)) continue;
      told.add(notice.key);
      const actions = notice.keep ? [{ label: notice.keep, commandId: KEEP }] : [];
      await app.commands.execute("apputils:notify", {
        message: notice.message,
        type: "warning",
        options: { autoClose: false, actions },
      });
    }
  }

  async function keep(app) {
    const answer = await fetch(address, { method: "POST", headers: { "X-XSRFToken": xsrf, Accept: "application/json" } });
    const message = answer.ok ? (await answer.json()).message : `${answer.status} ${answer.statusText}`;
    await app.commands.execute("apputils:notify", {
      message,
      type: answer.ok ? "success" : "error",
      options: { autoClose: 10_000 },
    });
  }

  const plugin = {
    id: "sandbox-guard-life:plugin",
    autoStart: true,
    activate: (app) => {
      if (!config.hubPrefix) return; // a lab without a hub
      app.commands.addCommand(KEEP, { label: KEEP, execute: () => keep(app) });
      app.restored.then(() => {
        const asked = () => look(app).catch((error) => console.warn(error));
        asked();
        setInterval(asked, 60_000);
      });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["sandbox-guard-life"] = { init: () => {}, get: async () => () => plugin };
})();
