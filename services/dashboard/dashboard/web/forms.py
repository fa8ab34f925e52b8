"""Forms: signing in and out, and what the page's buttons ask for; each form holds its session's own key."""

import hmac
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from dashboard.acting import act
from dashboard.safety import Action, UnsafeError, Verb
from dashboard.sessions import Session
from dashboard.web.access import COOKIE, Access
from dashboard.web.api import TEXT_MAX, find
from dashboard.web.pages import Screens
from dashboard.web.problems import FAILURES, status_of

Field = Annotated[str, Form(max_length=TEXT_MAX)]


def build_forms(screens: Screens, access: Access, *, secure: bool) -> APIRouter:
    """All forms; `secure`: cookies go by TLS only."""
    router = APIRouter(include_in_schema=False)
    _add_doors(router, screens, access, secure=secure)
    _add_acts(router, screens)
    return router


def _add_doors(router: APIRouter, screens: Screens, access: Access, *, secure: bool) -> None:
    @router.get("/login")
    async def login() -> Response:
        return screens.pages.show("login", trouble="")

    @router.post("/login")
    async def enter(token: Annotated[str, Form(max_length=1_000)] = "") -> Response:
        session = access.enter(token.strip())
        if session is None:
            return screens.pages.show("login", HTTPStatus.UNAUTHORIZED, trouble="Nobody has this token.")
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        response.set_cookie(COOKIE, session.id, httponly=True, samesite="strict", secure=secure, path="/")
        return response

    @router.post("/logout")
    async def leave(request: Request, form_key: Field = "") -> Response:
        session = access.session(request)
        if session is not None and hmac.compare_digest(form_key.encode(), session.form_key.encode()):
            access.leave(session)
        response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        response.delete_cookie(COOKIE, path="/")
        return response


class _Asked:
    """What a button's form says."""

    def __init__(  # noqa: PLR0913  the fields of a form
        self,
        *,
        verb: Field,
        subject: Field,
        number: Field = "",
        force: Field = "",
        back: Field = "overview",
        form_key: Field = "",
    ) -> None:
        self.verb, self.subject, self.number = verb, subject, number.strip()
        self.force, self.back, self.form_key = bool(force), back, form_key

    def action(self) -> Action:
        """The action; raises UnsafeError where the fields make none."""
        if self.verb not in set(Verb):
            raise UnsafeError(f"there is no action {self.verb!r}")
        try:
            number = float(self.number) if self.number else None
        except ValueError:
            raise UnsafeError(f"{self.number!r} is no number") from None
        if number is not None and not abs(number) < 1e9:
            raise UnsafeError(f"{self.number!r} is too far from 0")
        return Action(Verb(self.verb), self.subject, number, self.force)


def _add_acts(router: APIRouter, screens: Screens) -> None:

    @router.post("/i/{instance}/do")
    async def do(
        instance: str,
        session: Annotated[Session, Depends(screens.session)],
        asked: Annotated[_Asked, Depends(_Asked)],
    ) -> Response:
        watch = find(screens.watches, instance)
        back = f"/i/{quote(instance)}/{quote(asked.back)}"
        try:
            _check(asked, session)
            action = asked.action()
            await act(watch, session.operator, action)
        except FAILURES as error:
            known = {"title": "Not done", "words": str(error), "back": back}
            return screens.pages.show("problem", status_of(error), **known)
        return RedirectResponse(back, HTTPStatus.SEE_OTHER)


def _check(asked: _Asked, session: Session) -> None:
    if not hmac.compare_digest(asked.form_key.encode(), session.form_key.encode()):
        raise UnsafeError("the form is of another session: go back, load the page again, and ask once more")
    if not session.operator.acts:
        raise UnsafeError(f"{session.operator.name} is a reader: to act needs an operator's token")
