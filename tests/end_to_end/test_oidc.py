"""Signing in at an OpenID Connect provider: the real hub and proxy, and a provider in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hub.launcher import TOKENS
from tests.end_to_end.conftest import PATIENCE, ROOT, environment_of
from tests.ports import free_port

CLAIM = "employee"
"""Of the provider's people; not the usual one."""
PEOPLE: dict[str, dict[str, str]] = {
    "1001": {CLAIM: "lin"},
    "1002": {CLAIM: "zhou"},
    "1003": {CLAIM: "wu"},
    "1004": {CLAIM: "mallory"},
    "1005": {"name": "nobody"},
    # A group of the provider's is no right.
    "1006": {CLAIM: "bank1", "groups": "stewards"},
}


@dataclass(frozen=True)
class Deployed:
    address: str
    provider: str
    client_id: str
    home: Path
    without_provider: httpx.Response
    """What somebody was told who wanted to sign in while the provider did not answer."""

    def groups(self, name: str) -> list[str]:
        header = {"Authorization": "token token-of-portal-hub"}
        answer = httpx.get(f"{self.address}/hub/api/users/{name}", headers=header, timeout=PATIENCE)
        return sorted(answer.json()["groups"])


def someone(address: str) -> httpx.Client:
    """A browser, as far as this needs one."""
    return httpx.Client(base_url=address, follow_redirects=True, timeout=PATIENCE)


def sign_in(deployed: Deployed, browser: httpx.Client, sub: str, **form: str) -> httpx.Response:
    """By the button of the sign-in page and the provider's form; where that leads."""
    page = browser.get("/hub/login")
    button = re.search(r'id="login_there" href="([^"]+)"', page.text)
    assert button
    there = browser.get(button[1].replace("&amp;", "&"))
    assert str(there.url).startswith(f"{deployed.provider}/oauth2/authorize")
    assert parse_qs(urlsplit(str(there.url)).query)["code_challenge_method"] == ["S256"]
    return browser.post(there.url, data=form or {"sub": sub})


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGCONT)
            running.terminate()


def answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = ask()
            if answer.is_success:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    home, port = tmp_path_factory.mktemp("oidc"), free_port()
    provider = f"http://127.0.0.1:{port}"
    for folder in ("keys", "hub", "log"):
        (home / folder).mkdir()
    for name in TOKENS:
        (home / "keys" / f"{name}.token").write_text(f"token-of-{name}")
    environment = {
        **environment_of(home),
        "SANDBOX_GUARD_OIDC_ISSUER": provider,
        "SANDBOX_GUARD_OIDC_CLAIM": CLAIM,
    }
    address = f"http://127.0.0.1:{environment['PORT']}"
    with ExitStack() as stack:
        insecure = {**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"}
        command = ("oidc_provider_mock", "--port", str(port), "--require-registration", "true")
        there = stack.enter_context(process(*command, **insecure))
        body = {"redirect_uris": [f"{address}/hub/oauth_callback"]}
        client = answered(lambda: httpx.post(f"{provider}/oauth2/clients", json=body)).json()
        for sub, claims in PEOPLE.items():
            httpx.put(f"{provider}/users/{sub}", json=claims).raise_for_status()
        there.send_signal(signal.SIGSTOP)
        (home / "keys" / "oidc-client.secret").write_text(client["client_secret"] + "\n")
        environment["SANDBOX_GUARD_OIDC_CLIENT_ID"] = client["client_id"]
        for service in ("proxy", "portal", "hub"):
            stack.enter_context(process("hub.launcher", "serve", service, **environment))
        answered(lambda: httpx.get(f"{address}/hub/health"))
        with someone(address) as browser:
            without = browser.get("/hub/oauth_login")
        there.send_signal(signal.SIGCONT)
        yield Deployed(address, provider, client["client_id"], home, without)


def test_a_provider_that_does_not_answer_is_named_within_seconds(deployed: Deployed) -> None:
    said = deployed.without_provider
    assert said.status_code == 502 and "统一登录服务没有应答" in said.text
    assert said.elapsed.total_seconds() < 15


@pytest.mark.parametrize(
    ("sub", "name", "groups"),
    [
        (
            "1001",
            "lin",
            {"researchers", "project:credit-inclusion", "project:green-credit", "project:health-cover"},
        ),
        ("1002", "zhou", {"auditors"}),
        ("1003", "wu", {"stewards"}),
        ("1006", "bank1", {"enterprises", "project:green-credit"}),
    ],
)
def test_who_is_known_comes_in_with_the_rights_of_the_policy(
    deployed: Deployed, sub: str, name: str, groups: set[str]
) -> None:
    with someone(deployed.address) as browser:
        home = sign_in(deployed, browser, sub)
        assert home.url.path == "/hub/home" and f"({name})" in home.text
        assert set(deployed.groups(name)) == groups


def test_who_is_not_in_people_yaml_is_refused_by_name(deployed: Deployed) -> None:
    with someone(deployed.address) as browser:
        said = sign_in(deployed, browser, "1004")
        assert said.status_code == 403
        assert "mallory" in said.text and "people.yaml" in said.text
        assert browser.get("/hub/home").url.path == "/hub/login"


def test_an_account_without_the_claim_is_refused_with_the_reason(deployed: Deployed) -> None:
    with someone(deployed.address) as browser:
        said = sign_in(deployed, browser, "1005")
        assert said.status_code == 403 and f"没有提供用户名（{CLAIM}）" in said.text


def test_a_sign_in_that_was_cancelled_or_forged_says_so(deployed: Deployed) -> None:
    with someone(deployed.address) as browser:
        cancelled = sign_in(deployed, browser, "1001", action="deny")
        assert cancelled.status_code == 400 and "登录没有完成" in cancelled.text
    with someone(deployed.address) as browser:
        forged = browser.get("/hub/oauth_callback?code=x&state=e30=")
        assert forged.status_code == 400 and "登录没有完成" in forged.text


def test_a_code_is_worth_one_sign_in(deployed: Deployed) -> None:
    with someone(deployed.address) as browser:
        home = sign_in(deployed, browser, "1001")
        (with_code,) = [str(each.url) for each in home.history if "/hub/oauth_callback?" in str(each.url)]
        assert browser.get(with_code).status_code == 400
    with someone(deployed.address) as another:
        assert another.get(with_code).status_code == 400


def test_signing_out_leads_through_the_provider(deployed: Deployed) -> None:
    with someone(deployed.address) as browser:
        sign_in(deployed, browser, "1001")
        there = browser.get("/hub/logout")
        asked = parse_qs(urlsplit(str(there.url)).query)
        assert str(there.url).startswith(f"{deployed.provider}/oauth2/end_session")
        assert asked["client_id"] == [deployed.client_id]
        assert asked["post_logout_redirect_uri"] == [f"{deployed.address}/hub/login"]
        assert browser.get("/hub/home").url.path == "/hub/login"


def test_behind_a_proxy_that_ends_tls_people_come_back_to_it(deployed: Deployed) -> None:
    header = {"X-Forwarded-Proto": "https", "Host": "guard.example.org"}
    with httpx.Client(base_url=deployed.address, timeout=PATIENCE) as browser:
        there = browser.get("/hub/oauth_login", headers=header).headers["Location"]
    assert parse_qs(urlsplit(there).query)["redirect_uri"] == ["https://guard.example.org/hub/oauth_callback"]


def test_there_is_no_password_to_guess(deployed: Deployed) -> None:
    with someone(deployed.address) as browser:
        page = browser.get("/hub/login")
        assert 'type="password"' not in page.text
        xsrf = {"_xsrf": browser.cookies.get("_xsrf", "")}
        assert browser.post("/hub/login", data={**xsrf, "username": "lin", "password": "x"}).status_code in (
            403,
            405,
        )
        sign_in(deployed, browser, "1001")
        assert browser.get("/hub/password").status_code == 404
        assert "hub/password" not in browser.get("/hub/home").text


def test_the_language_that_somebody_chose_is_kept(deployed: Deployed) -> None:
    with someone(deployed.address) as browser:
        sign_in(deployed, browser, "1002")
        browser.get("/hub/language/en")
    with someone(deployed.address) as browser:
        assert "My projects" in sign_in(deployed, browser, "1002").text
