"""A person's yes, given where the mail's link leads: in Airflow's web UI, with a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from test_airflow import settings_for

from pipelines.steps import airflow


def link_in_the_mail(home) -> str:
    """The address that the mail asking for a word names."""
    words = " ".join(mail.text for mail in home.outbox.waiting()).split()
    return next(word for word in words if word.endswith("/required_actions"))


@pytest.mark.slow
def test_the_mails_link_leads_a_person_to_the_button_that_promotes(throwaway, page):
    settings = settings_for(throwaway, active=("learn",))
    with airflow.started(settings):
        api = settings.api()
        run = api.trigger("learn", key="fraud@2025-05-19T00:00:00Z")
        api.wait_for_approval("learn", run, 300)
        page.goto(link_in_the_mail(throwaway.opened_home()))
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill("for tests")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("May fraud answer with the release of 2025-05-19T00:00:00Z?")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("fraud passes.")).to_be_visible()
        assert throwaway.promoted() == []
        page.locator("input[name=element_comment]").fill('--it\'s "better"; $(touch pwned) 更好')
        page.get_by_role("button", name="Approve", exact=True).click()
        assert api.wait("learn", run, 300) == "success"
    [promoted] = throwaway.promoted()
    assert (promoted["case"], promoted["by"]) == ("fraud", "admin")
    assert promoted["because"] == '--it\'s "better"; $(touch pwned) 更好'
