"""Signing in through the hub: state, PKCE, and no way around them."""

from __future__ import annotations

from tests.unit.portal.conftest import COOKIE, PREFIX, Portal, challenge_of, token_of


def test_someone_who_is_not_signed_in_comes_back_to_the_page_they_wanted(portal: Portal) -> None:
    browser = portal.as_(None)
    sent = browser.get(PREFIX + "catalogue?q=tax")
    assert sent.status_code == 303
    asked = challenge_of(sent.headers["location"])
    assert asked["client_id"] == COOKIE and asked["code_challenge_method"] == "S256"
    portal.hub.codes["a-code"] = ("lin", asked["code_challenge"])
    back = browser.get(PREFIX + "oauth_callback", params={"code": "a-code", "state": asked["state"]})
    assert back.status_code == 303 and back.headers["location"] == PREFIX + "catalogue?q=tax"
    cookie = next(c for c in back.headers.get_list("set-cookie") if c.startswith(COOKIE + "="))
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and f"Path={PREFIX}" in cookie
    assert browser.get(back.headers["location"]).status_code == 200


def test_a_sign_in_begun_in_another_browser_is_refused(portal: Portal) -> None:
    asked = challenge_of(portal.as_(None).get(PREFIX).headers["location"])
    portal.hub.codes["a-code"] = ("zhou", asked["code_challenge"])
    back = portal.as_(None).get(PREFIX + "oauth_callback", params={"code": "a-code", "state": asked["state"]})
    assert back.status_code == 400 and COOKIE + "=" not in str(back.headers)
    assert "a-code" in portal.hub.codes, "the code must not even be redeemed"


def test_a_state_is_good_once(portal: Portal) -> None:
    browser = portal.as_(None)
    asked = challenge_of(browser.get(PREFIX).headers["location"])
    portal.hub.codes["a-code"] = ("lin", asked["code_challenge"])
    query = {"code": "a-code", "state": asked["state"]}
    assert browser.get(PREFIX + "oauth_callback", params=query).status_code == 303
    assert browser.get(PREFIX + "oauth_callback", params=query).status_code == 400


def test_a_code_that_another_verifier_asked_for_is_worth_nothing(portal: Portal) -> None:
    browser = portal.as_(None)
    asked = challenge_of(browser.get(PREFIX).headers["location"])
    portal.hub.codes["a-code"] = ("lin", "another-challenge")
    back = browser.get(PREFIX + "oauth_callback", params={"code": "a-code", "state": asked["state"]})
    assert back.status_code == 503


def test_a_token_that_the_hub_no_longer_knows_signs_out(portal: Portal) -> None:
    browser = portal.as_("lin")
    portal.hub.signed_out.add(token_of("lin"))
    assert browser.get(PREFIX).status_code == 303


def test_an_account_that_policy_does_not_name_is_told_so(portal: Portal) -> None:
    answer = portal.as_("stranger", "en").get(PREFIX)
    assert answer.status_code == 403 and "people.yaml" in answer.text


def test_nothing_but_health_and_style_is_open_to_the_signed_out(portal: Portal) -> None:
    anyone = portal.as_(None)
    open_to_all = {
        path
        for path in (
            "",
            "health",
            "static/portal.css",
            "catalogue",
            "budgets",
            "analyses",
            "audit",
            "steward",
        )
        if anyone.get(PREFIX + path).status_code == 200
    }
    assert open_to_all == {"health", "static/portal.css"}


def test_pages_may_run_no_script_and_stand_in_no_frame(portal: Portal) -> None:
    answer = portal.as_("lin").get(PREFIX)
    policy = answer.headers["content-security-policy"]
    assert (
        "default-src 'none'" in policy and "script-src" not in policy and "frame-ancestors 'none'" in policy
    )
    assert "<script" not in answer.text and answer.headers["cache-control"] == "no-store"
