"""The portal as one FastAPI application: its pages, and what is said when something is in the way."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from hub.portal import analyses, audit, budgets, catalogue, home, report, steward
from hub.portal.ledger import LedgerSilent
from hub.portal.rights import Denied, Visitor
from hub.portal.sandboxes import NotThere
from hub.portal.signin import HubSilent, NotSignedIn, StateLost
from hub.portal.site import HERE, Site, TheSite, page, site_of, visitor_of
from sandbox_guard.errors import Text

log = logging.getLogger(__name__)

HEADERS = {
    # Charts are inline SVG and gauges set their own length: styles in the page, and no script at all.
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(site: Site) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.ledger.close()
        site.sandboxes.close()

    app = FastAPI(
        title="Sandbox Guard portal", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.site = site
    base = site.prefix.rstrip("/")
    app.mount(f"{base}/static", StaticFiles(directory=HERE / "static"), name="static")
    app.include_router(_doors, prefix=base)
    for pages in (home, catalogue, budgets, analyses, audit, report, steward):
        app.include_router(pages.router, prefix=base)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(NotSignedIn, _to_the_hub)
    app.add_exception_handler(Denied, _denied)
    for silent in (HubSilent, LedgerSilent, NotThere):
        app.add_exception_handler(silent, _silent)
    app.add_exception_handler(StateLost, _state_lost)
    app.add_exception_handler(StarletteHTTPException, _missing)
    app.add_exception_handler(RequestValidationError, _missing)
    app.add_exception_handler(Exception, _broken)
    return app


async def _with_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


_doors = APIRouter()


@_doors.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}


@_doors.get("/oauth_callback")
def oauth_callback(site: TheSite, request: Request, code: str = "", state: str = "") -> Response:
    if not code or not state:
        raise StateLost
    return site.sign_in.finish(request, code, state)


# ------------------------------------------------------------------------------ what is in the way


def _to_the_hub(request: Request, _: Exception) -> Response:
    """Back afterwards to the page they wanted; what a form sent is gone, its page is not."""
    site = site_of(request)
    back_to = request.url.path
    if request.method == "GET" and request.query_params:
        back_to += f"?{urlencode(list(request.query_params.multi_items()))}"
    return site.sign_in.begin(request, back_to)


def _message(request: Request, status: int, title: Text, text: Text) -> Response:
    visitor: Visitor | None = None
    try:
        visitor = visitor_of(request)
    except (NotSignedIn, HubSilent, Denied):
        pass  # the page says what is in the way; who reads it only decides the language
    return page(request, visitor, "message.html", {"title": title, "text": text}, status=status)


def _denied(request: Request, error: Exception) -> Response:
    assert isinstance(error, Denied)
    return _message(request, 403, Text("不能打开此页", "This page is not available to you"), error.rule)


def _silent(request: Request, error: Exception) -> Response:
    log.warning("%s: %s", type(error).__name__, error)
    who = {
        HubSilent: Text("登录服务", "sign-in service"),
        LedgerSilent: Text("预算台账", "budget ledger"),
        NotThere: Text("分析沙箱", "analysis sandbox"),
    }[type(error)]
    return _message(
        request,
        503,
        Text(f"{who.zh}没有应答", f"The {who.en} does not answer"),
        Text(
            "请稍候刷新本页：已提交的分析不会重复计费。若仍如此，请联系管理员。",
            "Reload this page in a moment: nothing is charged twice. If that does not help, tell the administrator.",
        ),
    )


def _state_lost(request: Request, _: Exception) -> Response:
    return _message(
        request,
        400,
        Text("登录没有完成", "The sign-in was not finished"),
        Text(
            "登录页停留过久，或在另一个浏览器中开始。请从门户首页再进一次。",
            "It took too long, or was begun in another browser. Open the portal's home page again.",
        ),
    )


def _missing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException | StarletteHTTPException) else 404
    if status in (404, 422):
        title = Text("没有这一页", "There is no such page")
        text = Text("地址有误，或内容已不在。", "The address is wrong, or what it named is gone.")
    else:
        title = Text("请求无法处理", "The request cannot be processed")
        text = Text("请从门户首页重新开始。", "Start again from the portal's home page.")
    return _message(request, 404 if status == 422 else status, title, text)


def _broken(request: Request, error: Exception) -> Response:
    log.error("%s", json.dumps({"path": request.url.path, "error": type(error).__name__}))
    return _message(
        request,
        500,
        Text("页面出错", "This page failed"),
        Text(
            "错误已记录。请稍后再试，或告诉管理员。",
            "It was logged. Try again later, or tell the administrator.",
        ),
    )
