"""Decisions about a package that is withheld: one person says that it is the subject's, another agrees."""

from collections.abc import Sequence

from services.intake import package_release
from services.intake.console.console import local
from services.intake.console.decisions.decision import Decision, Subject, deciding, saying
from services.intake.console.roles import Power
from services.intake.errors import SamePerson
from services.intake.use_cases import UseCases


async def _say(subject: Subject, version: int, _: None) -> None:
    if subject.pending("package"):
        raise SamePerson("somebody has said so: now it takes a second person, who may agree with what others propose")
    await subject.works.services.use_cases.release_package(subject.basis(version))


async def _looks(subject: Subject) -> Sequence[tuple[str, str]]:
    """Who has looked into it, and who has said already that it is the subject's."""
    async with subject.works.services.unit_of_work.pool.acquire() as connection:
        looks = await package_release.lookers(connection, subject.of_request)
    pending = subject.file.pending if subject.file else ()
    said = [(each.holder, "says that it is this person's") for each in pending if each.what == "package"]
    return [*((who, f"has looked into it, {local(subject.works, at)}") for who, at in looks), *said]


def _is_withheld(subject: Subject) -> bool:
    request = subject.of_request
    return request.package_fault is not None and not request.package_is_gone and not request.renewing


_LOOK = "You say that you have looked into it, and that all of it is this person's; who has not looked is refused."
DECISIONS: Sequence[Decision] = (
    Decision(
        name="package-theirs",
        title="Say that the package is this person's",
        power=Power.HANDLE,
        when=lambda subject: _is_withheld(subject) and not subject.pending("package"),
        reads=_looks,
        does=saying(_LOOK, "Somebody else must look into it and agree; until then nobody can fetch it."),
        do=_say,
    ),
    Decision(
        name="package-release",
        title="Agree, and release the package",
        power=Power.APPROVE,
        when=lambda subject: _is_withheld(subject) and subject.pending("package"),
        reads=_looks,
        does=saying(_LOOK, "It can be fetched again, and the person is told."),
        do=deciding(UseCases.release_package),
        irreversible=True,
    ),
    Decision(
        name="package-renewal",
        title="Have the package made anew",
        power=Power.HANDLE,
        when=_is_withheld,
        does=saying("Every system is searched again by what is known and proved now; until then the copy is owed."),
        do=deciding(UseCases.renew_package),
    ),
)
