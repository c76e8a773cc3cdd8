"""Signs staff in by the identity provider, with a second factor, and out."""

from dataclasses import asdict, dataclass

from pydantic import JsonValue
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, ConsoleContext, person_of, signed_in
from services.console.provider import AuthorizationRequest, NotSignedIn, SignedIn
from services.console.roles import WORDS, StaffPower
from services.intake.access.auth import PERSON, staff_evidence_id
from services.intake.access.quota import client_address
from services.web.site import Visit
from shared.messaging.unit_of_work import UnitOfWork

_BIND = """
INSERT INTO console_holder (holder, issuer, subject, bound_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_BOUND = "SELECT EXISTS (SELECT FROM console_holder WHERE holder = $1 AND issuer = $2 AND subject = $3)"


async def bind(tx: UnitOfWork, who: SignedIn) -> None:
    """Binds the holder to the account that signs in, if neither is bound yet.

    Raises:
        NotSignedIn: the holder belongs to another account, or the account to another holder.
    """
    account = (who.holder, who.issuer, who.subject)
    await tx.connection.execute(_BIND, *account, tx.now)
    if not await tx.connection.fetchval(_BOUND, *account):
        raise NotSignedIn(
            f"{who.holder}: the name or the account is bound to another account or name, since one person must not be"
            " two; sign in under the name of your first sign-in, or have an operator release it"
        )


def routes(console: Console) -> list[BaseRoute]:
    """Returns the pages that need no session, and the page of the signed-in person."""
    signing = SignInPages(console.context)
    return [
        console.page("/sign-in", signing.welcome),
        console.page("/sign-in/begin", signing.begin),
        console.page("/signed-in", signing.back),
        console.page("/sign-out", signing.out, sends=True),
        console.private("/me", signing.me, StaffPower.SEE),
    ]


@dataclass(frozen=True)
class SignInPages:
    """The pages of the sign-in."""

    context: ConsoleContext

    async def welcome(self, visit: Visit) -> Response:
        """Shows the way to the identity provider."""
        if signed_in(visit.session):
            return visit.go("/")
        visit.session.wanted = True
        return visit.page("sign_in.html")

    async def begin(self, visit: Visit) -> Response:
        """Redirects to the provider by GET: some browsers apply `form-action` to redirects of a form."""
        question = AuthorizationRequest.new()
        address = await self.context.provider.address(question)
        visit.session.data["question"] = asdict(question)
        visit.session.wanted = True
        return Response(status_code=303, headers={"Location": address})

    async def back(self, visit: Visit) -> Response:
        """Takes the answer of the provider, once, and continues with a new cookie to the page that was asked for."""
        asked = visit.session.data.pop("question", None)
        if not isinstance(asked, dict):
            raise NotSignedIn("this browser has no open sign-in: start again")
        await visit.site.sessions.keep(visit.session)  # one answer for each question
        question = AuthorizationRequest(**{name: str(value) for name, value in asked.items()})
        who = await self.context.provider.answer(question, dict(visit.request.query_params))
        to = str(visit.session.data.pop("to", "/"))
        forwarded, proxies = visit.request.headers.get("x-forwarded-for", ""), self.context.services.settings.proxies
        address = client_address(visit.request.scope, forwarded, proxies)
        async with self.context.services.unit_of_work.begin() as tx:
            await bind(tx, who)
            _log(tx, who.holder, "console.signed_in", roles=[*who.roles], **{"from": address})
        visit.session.principal = who.holder
        visit.session.data = {"name": who.name, "roles": [*who.roles]}
        visit.session.renew()
        return visit.go(to)

    async def me(self, visit: Visit) -> Response:
        """Shows the account, its roles and its powers."""
        powers = person_of(visit).powers
        return visit.page("me.html", may_do=[words for power, words in WORDS.items() if power in powers])

    async def out(self, visit: Visit) -> Response:
        """Ends this session, or all of this person's."""
        if visit.sent:
            if visit.session.principal:
                await self._end(visit, visit.session.principal)
            visit.session.end()
            return visit.go("/sign-out")
        return visit.page("signed_out.html")

    async def _end(self, visit: Visit, holder: str) -> None:
        async with self.context.services.unit_of_work.begin() as tx:
            where = "everywhere" if visit.form.get("where") == "everywhere" else "here"
            if where == "everywhere":
                await visit.site.sessions.end_all(holder, tx.connection)
            _log(tx, holder, "console.signed_out", where=where)


def _log(tx: UnitOfWork, holder: str, action: str, **detail: JsonValue) -> None:
    """Records a sign-in or sign-out in the evidence, without cookie and token."""
    tx.log_evidence(staff_evidence_id(holder), action, {"holder": holder, **detail}, f"{PERSON}{holder}")
