"""Everything about one case in one ZIP, for who must show that it was handled well; the making is on record (REQ-A1).

The certificate in it holds the whole evidence, signed: ``dsr certificate verify`` checks it offline. Letters are in it
for those who may read them; others get when each was written. Nothing else of the vault is in it.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue

from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.actions.use_cases import visible
from services.intake.api.views import view
from services.intake.letters import sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.mail import inbox
from services.intake.mail.inbox import Mail
from services.intake.recipients import recipients
from services.intake.request.aggregate import Request
from services.intake.store import repository
from shared.domain.errors import Shredded
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import certificate, evidence

_MAILS: Final = 100
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_LETTERS = """
SELECT l.letter_id, l.kind, l.written_at, d.way, d.state, d.fault, d.sent_at
FROM letter l LEFT JOIN delivery d USING (letter_id) WHERE l.request_id = $1 ORDER BY l.letter_id
"""
_PLAN = "SELECT plan_id, asked_at, made_at, tasks FROM plan WHERE request_id = $1"
_README = """\
Case {request_id}

request.json      where it stands, what each system did in counts, and the answer
timeline.json     everything that was done, the oldest first
certificate.json  the same as evidence, signed; check it offline:
                  dsr certificate verify certificate.json
receipts.json     what each system has reported; the certificate has the signature of each
plan.json         preview of the erasure, where one was made
recipients.json   recipients that were notified (Art. 19), and their replies
mail.json         mails that became the request, or answer it, and what was done with them (where there are any)
letters.json      which letter was written and sent when
letters/          their text, where the maker of this file may read letters
manifest.json     the SHA-256 of each of these files, who made them, and when

Made for {holder} on {made_at}. The making is on record in the evidence of the case.
"""


async def build(tx: UnitOfWork, letters: LetterFacts, request_id: UUID, caller: Caller) -> bytes:
    """The ZIP of one case, also of one that is open; raises ``NotFound``."""
    request = await visible(tx.connection, await repository.read(tx.connection, request_id), caller)
    entries = await evidence.entries(tx.connection, request_id)
    shown = certified(request, tx.now.date(), letters)
    timeline = [{**entry, "detail": orjson.loads(entry["detail"]), **_hashes(entry)} for entry in entries]
    notices = await recipients.of_request(tx.connection, request_id)
    files: dict[str, bytes] = {
        "request.json": _json(view(request, tx.now.date(), letters, officer=True).model_dump(mode="json")),
        "timeline.json": _json(timeline),
        "certificate.json": _json(
            certificate.build(shown, entries, await evidence.proofs(tx.connection, entries), tx.vault.keyring)
        ),
        "receipts.json": _json([each for each in timeline if each["action"] == "task.concluded"]),
        "recipients.json": _json([asdict(each) for each in notices]),
        "letters.json": _json([dict(row) for row in await tx.connection.fetch(_LETTERS, request_id)]),
    }
    mails = await inbox.of_request(tx.connection, request_id, _MAILS)
    if mails:
        files["mail.json"] = _json([await _of_mail(tx, each) for each in mails])
    if plan := await tx.connection.fetchrow(_PLAN, request_id):
        files["plan.json"] = _json(dict(plan))
    texts = await _letters(tx, request, caller) if Power.FETCH in caller.grant.powers else {}
    made = {"request_id": request_id, "made_at": tx.now, "holder": caller.holder}
    files["README.txt"] = _README.format(**{**made, "made_at": tx.now.isoformat()}).encode()
    files |= texts
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = files["manifest.json"] = _json({**made, "files": sums})
    detail: dict[str, JsonValue] = {"holder": caller.holder, "letters": len(texts)}
    tx.log_evidence(
        request_id, "case.exported", {**detail, "sha256": hashlib.sha256(manifest).hexdigest()}, caller.actor
    )
    return _zipped(files)


def certified(request: Request, today: date, letters: LetterFacts) -> Mapping[str, Any]:
    """The view of a request that its certificate has: the one of its subject; pure."""
    shown = view(replace(request, anonymous=False), today, letters, officer=False)
    return shown.model_dump(mode="json", exclude_unset=True)


async def _of_mail(tx: UnitOfWork, mail: Mail) -> Mapping[str, object]:
    """When a mail came, what became of it and what was done with it; what it says is sealed, and stays so."""
    entries = await evidence.entries(tx.connection, mail.mail_id)
    timeline = [{**entry, "detail": orjson.loads(entry["detail"]), **_hashes(entry)} for entry in entries]
    known = {name: value for name, value in asdict(mail).items() if name != "digest"}
    return {**known, "timeline": timeline}


async def _letters(tx: UnitOfWork, request: Request, caller: Caller) -> Mapping[str, bytes]:
    """The texts of the letters, by the names of their files; none once the correspondence has expired."""
    try:
        written: Sequence[Mapping[str, Any]] = await sealed_letters.read_letters(tx, request, caller, by_code=False)
    except Shredded:
        return {}
    return {
        f"letters/{number:02}-{each['kind']}.txt": f"{each['subject']}\n\n{each['body']}".encode()
        for number, each in enumerate(written, 1)
    }


def _hashes(entry: asyncpg.Record) -> Mapping[str, str]:
    return {name: entry[name].hex() for name in ("prev_hash", "hash")}


def _json(content: object) -> bytes:
    return orjson.dumps(content, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def _zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name])
    return packed.getvalue()
