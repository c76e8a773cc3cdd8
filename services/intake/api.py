"""The API: submit, follow, verify, withdraw, decide, download; every call needs a key, every error is a problem."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, FastAPI, Header, Request, Response
from starlette.types import ASGIApp

from services.intake import answer, correspondence, documents, documents_out, problems
from services.intake.acceptance import Acceptance
from services.intake.assurance import required_levels
from services.intake.counter import MANY, ONE, BeforeTheRoutes, Counter
from services.intake.keys import Keys
from services.intake.letters import Letters
from services.intake.problems import NotReady
from services.intake.request import Request as StoredRequest
from services.intake.submission import (
    Decision,
    ExtensionProposal,
    Forwarded,
    QuestionAsked,
    QuestionReply,
    ReceiptCorrection,
    Verification,
)
from services.intake.use_cases import UseCases
from shared.app.service import Running
from shared.domain.time_limit_policy import read_policy
from shared.downstreams.bus import identity_token as claims
from shared.downstreams.bus.messages import TaskIdentities

Authorization = Annotated[str | None, Header(description="`Bearer dsr_…`")]


@dataclass(frozen=True)
class Office:
    """What the routes work with."""

    running: Running
    keys: Keys
    acceptance: Acceptance
    use_cases: UseCases


def serve(running: Running, probes: APIRouter) -> ASGIApp:
    """What intake serves: submissions go to the counter, everything else to the routes."""
    app = build(running)
    app.include_router(probes)
    return BeforeTheRoutes(app, app.state.counter)


def build(running: Running) -> FastAPI:
    """The API over a running service."""
    unit_of_work, required = running.unit_of_work, required_levels()
    policy, letters = read_policy(), Letters()
    office = Office(
        running,
        Keys(unit_of_work.pool),
        Acceptance(unit_of_work, policy, required),
        UseCases(unit_of_work, policy, letters, required),
    )
    app = FastAPI(
        title="Data subject requests", version="1", summary="GDPR Art. 15-18, 20, 21", responses=documents.PROBLEMS
    )
    problems.install(app)
    _submitting(app, office)
    _following(app, office)
    _deciding(app, office)
    _timing(app, office)
    _handing_out(app, office)
    return app


def _submitting(app: FastAPI, office: Office) -> None:
    counter = app.state.counter = Counter(office.keys, office.acceptance, office.running.tracing)

    @app.post(ONE, status_code=201, openapi_extra=documents.SUBMIT, response_model=documents.Receipt)
    async def submit(request: Request) -> Response:
        """Submit one request.

        A replay with the same `Idempotency-Key` and body gives the first answer again, with status 200.
        """
        return await counter.take(request.scope, request.receive)

    @app.post(MANY, status_code=201, openapi_extra=documents.SUBMIT_BATCH, response_model=documents.Receipts)
    async def submit_batch(request: Request) -> Response:
        """Submit up to 1,000 requests, accepted together or not at all."""
        return await counter.take(request.scope, request.receive)


def _following(app: FastAPI, office: Office) -> None:
    keys, use_cases = office.keys, office.use_cases

    @app.get("/v1/requests/{request_id}", response_model=documents.RequestView)
    async def read(request_id: UUID, authorization: Authorization = None) -> Response:
        """Where a request stands, what each system did in counts, and the answer in plain words."""
        return _json(_view(await use_cases.read(request_id, await keys.caller(authorization))))

    @app.get("/v1/requests/{request_id}/timeline", response_model=documents.Timeline)
    async def read_timeline(request_id: UUID, authorization: Authorization = None) -> Response:
        """Everything that was done about a request, in order, as the evidence has it."""
        await use_cases.read(request_id, await keys.caller(authorization))
        entries = await documents_out.entries(office.running.unit_of_work.pool, request_id)
        return _json({"request_id": request_id, "entries": entries})


def _deciding(app: FastAPI, office: Office) -> None:
    keys, use_cases = office.keys, office.use_cases

    @app.post("/v1/requests/{request_id}/verify", response_model=documents.Moved)
    async def verify(request_id: UUID, body: Verification, authorization: Authorization = None) -> Response:
        """State how the requester proved who they are; work begins, or begins after all, if that is enough."""
        caller = await keys.caller(authorization)
        return _moved(request_id, await use_cases.verify(request_id, body.assurance, caller))

    @app.post("/v1/requests/{request_id}/withdraw", response_model=documents.Moved)
    async def withdraw(request_id: UUID, authorization: Authorization = None) -> Response:
        """Withdraw a request; what was done already stays done."""
        return _moved(request_id, await use_cases.withdraw(request_id, await keys.caller(authorization)))

    @app.post("/v1/requests/{request_id}/decision", response_model=documents.Moved)
    async def decide(request_id: UUID, body: Decision, authorization: Authorization = None) -> Response:
        """Decide about a request whose downstream failed for good (privacy team)."""
        caller = await keys.caller(authorization)
        caller.must_be("privacy")
        return _moved(request_id, await use_cases.decide(request_id, body, caller))

    @app.post("/v1/requests/{request_id}/lift", response_model=documents.Moved)
    async def lift(request_id: UUID, authorization: Authorization = None) -> Response:
        """Lift a restriction of which the subject has been informed beforehand (privacy team)."""
        caller = await keys.caller(authorization)
        caller.must_be("privacy")
        return _moved(request_id, await use_cases.lift(request_id, caller))

    @app.post("/v1/requests/{request_id}/forward", response_model=documents.Moved)
    async def forward(request_id: UUID, body: Forwarded, authorization: Authorization = None) -> Response:
        """State that a request was passed on to the customer who decides about the data (privacy team)."""
        caller = await keys.caller(authorization)
        caller.must_be("privacy")
        return _moved(request_id, await use_cases.forward(request_id, body, caller))


def _timing(app: FastAPI, office: Office) -> None:
    keys, use_cases = office.keys, office.use_cases

    @app.post("/v1/requests/{request_id}/question", response_model=documents.Moved)
    async def ask(request_id: UUID, body: QuestionAsked, authorization: Authorization = None) -> Response:
        """Ask the requester who they are, or what they mean; work on what is clear goes on (privacy team)."""
        caller = await keys.caller(authorization)
        caller.must_be("privacy")
        return _moved(request_id, await use_cases.ask(request_id, body, caller))

    @app.post("/v1/requests/{request_id}/reply", response_model=documents.Moved)
    async def reply(request_id: UUID, body: QuestionReply, authorization: Authorization = None) -> Response:
        """Hand in what the requester answered to a question about what they mean; a late answer reopens the request."""
        caller = await keys.caller(authorization)
        return _moved(request_id, await use_cases.answer(request_id, body, caller))

    @app.post("/v1/requests/{request_id}/receipt", response_model=documents.Extended)
    async def correct(request_id: UUID, body: ReceiptCorrection, authorization: Authorization = None) -> Response:
        """Correct when an open request reached the company; every date is counted anew (privacy team)."""
        caller = await keys.caller(authorization)
        caller.must_be("privacy")
        due_on = await use_cases.correct_arrival(request_id, body, caller)
        return _json({"request_id": request_id, "due_on": due_on})

    @app.post("/v1/requests/{request_id}/extension", response_model=documents.Moved)
    async def propose(request_id: UUID, body: ExtensionProposal, authorization: Authorization = None) -> Response:
        """Propose to answer up to two months later (Art. 12(3)); somebody else must approve it (privacy team)."""
        caller = await keys.caller(authorization)
        caller.must_be("privacy")
        return _moved(request_id, await use_cases.propose_extension(request_id, body, caller))

    @app.post("/v1/requests/{request_id}/extension/approval", response_model=documents.Extended)
    async def approve(request_id: UUID, authorization: Authorization = None) -> Response:
        """Approve an extension with another key than proposed it; the subject is told why and until when."""
        caller = await keys.caller(authorization)
        caller.must_be("privacy")
        due_on = await use_cases.approve_extension(request_id, caller)
        return _json({"request_id": request_id, "due_on": due_on})

    @app.get("/v1/requests/{request_id}/letters", response_model=documents.LetterViews)
    async def read_letters(request_id: UUID, authorization: Authorization = None) -> Response:
        """Every letter that was written to the subject about this request."""
        request = await use_cases.read(request_id, await keys.caller(authorization))
        letters = await correspondence.read(office.running.unit_of_work, request)
        return _json({"request_id": request_id, "letters": letters})


def _handing_out(app: FastAPI, office: Office) -> None:
    keys, use_cases, unit_of_work = office.keys, office.use_cases, office.running.unit_of_work

    @app.get("/v1/requests/{request_id}/package", responses=documents.PACKAGE, response_class=Response)
    async def download(request_id: UUID, authorization: Authorization = None) -> Response:
        """The package of an access or portability request: a ZIP of JSON and CSV."""
        caller = await keys.caller(authorization)
        request = await use_cases.read(request_id, caller)
        if request.package_id is None:
            raise NotReady("there is no package: the request is still open, or nothing was found")
        content = await documents_out.hand_out(unit_of_work, request, caller)
        headers = {"Content-Disposition": f'attachment; filename="{request_id}.zip"', "Cache-Control": "no-store"}
        return Response(content, media_type="application/zip", headers=headers)

    @app.get("/v1/requests/{request_id}/certificate", response_model=dict[str, object])
    async def certify(request_id: UUID, authorization: Authorization = None) -> Response:
        """The certificate of a closed request: its evidence, signed.

        `dsr certificate verify FILE` checks it offline.
        """
        request = await use_cases.read(request_id, await keys.caller(authorization))
        if request.closed_at is None:
            raise NotReady("a request gets its certificate when it is closed")
        return _json(await documents_out.certificate(unit_of_work, request, _view(request)))

    @app.get("/v1/tasks/identities", response_model=TaskIdentities)
    async def identities(
        claim: Annotated[str, Header(alias=claims.CLAIM_HEADER)], authorization: Authorization = None
    ) -> Response:
        """Whom a task on the bus is about, for the system that it was sent to."""
        caller = await keys.caller(authorization)
        shown = claims.verify(claim, unit_of_work.vault.keyring.claims, unit_of_work.clock.now())
        caller.must_be(f"downstream:{shown.system}")
        return _json((await documents_out.identities(unit_of_work, shown)).model_dump(mode="json"))


def _view(request: StoredRequest) -> dict[str, object]:
    return {
        "request_id": str(request.request_id),
        "right": request.right,
        "state": request.state,
        "outcome": request.outcome,
        "resumable": request.resumable,
        "scope": request.scope,
        "role": request.role,
        "received_at": request.received_at.isoformat(),
        "due_on": request.due_on.isoformat(),
        "warning": request.warning,
        "closed_at": request.closed_at.isoformat() if request.closed_at else None,
        "answer": answer.answer(request),
        "tasks": [task.model_dump(mode="json", exclude_none=True) for task in request.tasks or ()],
        "package": request.package_id is not None,
    }


def _moved(request_id: UUID, state: str) -> Response:
    return _json({"request_id": request_id, "state": state})


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
