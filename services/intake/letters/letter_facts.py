"""Collects what letters say beyond their case: who reads them, what remains after an erasure, how a copy is fetched.

Nothing is rendered here: a decision seals facts, and the service of correspondence makes letters of them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.intake.core.instants import retention
from services.intake.request import deferrals
from services.intake.request.disclosed import Disclosed
from services.intake.request.letter_kinds import TO_ORGANISATIONS, LetterKind
from services.intake.request.stored_request import StoredRequest
from services.intake.settings import IntakeSettings
from services.portal.settings import PortalSettings
from shared.domain.languages import read_languages
from shared.domain.notices import Reader
from shared.domain.policy import Policy
from shared.domain.policy_files import suppression_policy
from shared.domain.policy_words import policy_words
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Fact, Sentence, Sentences, say
from shared.runtime.settings import PolicySettings


class LetterFacts:
    """Computes the facts that letters state by the policy, and words them for questions and pages."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._settings = IntakeSettings()
        self.policy = policy or PolicySettings().read_processing()
        self._kept_months, self._record_months = retention().correspondence_months, retention().register_months
        self._lists_erased = suppression_policy(PolicySettings().overlay).erasure
        self._wordings = policy_words(self.policy)
        self._languages = read_languages()
        self._backups_cached: tuple[datetime, Sentences] | None = None

    def reader(self, request: StoredRequest, kind: LetterKind | None = None) -> Reader:
        """Returns the reader of a request's letters, or of those of a kind."""
        outside = kind in TO_ORGANISATIONS
        language = self._languages.customers if outside else request.language
        return Reader(language, request.zones[-1], request.country, bool(request.tenant), outside)

    def words(self, fact: Fact, reader: Reader) -> str:
        """Returns a fact in words."""
        return self._wordings.of(reader.language, reader.zone).text(fact)

    def remains(self, request: StoredRequest, now: datetime, disclosed: Disclosed | None = None) -> Sentences:
        """Says what we keep: the record of the request; after an erasure, backups, the suppression list and the key.

        ``disclosed``: what was disclosed of the request, if that is known already.
        """
        if request.tenant:
            return ()
        record = say("letter.record", months=self._record_months)
        if request.right is not Right.ERASURE or request.outcome in {Outcome.WITHDRAWN, Outcome.REFUSED}:
            return (record,)
        known = disclosed if disclosed and disclosed.policy is self.policy else Disclosed(request, self.policy)
        lists = self._lists_erased and deferrals.found(request.tasks) and not deferrals.undone(request.tasks)
        listed = (say("letter.listed"),) if lists else ()
        emptied = any(each.reduced for each in known.extents.values())
        if not emptied and not deferrals.rows_changed(request.tasks):
            return (*listed, record)
        forgotten = request.forgets_its_subject and not any(map(deferrals.is_retained, request.tasks or ()))
        unreadable = (say("letter.unreadable", months=self._kept_months),) if forgotten else ()
        cached = self._backups_cached
        if cached is None or cached[0] != now:  # it is the same instant for a batch
            cached = self._backups_cached = (now, self._backups(now))
        return (*cached[1], *listed, *unreadable, record)

    def _backups(self, now: datetime) -> Sentences:
        """Returns until when copies are in backups, if a period is signed; else that none is decided."""
        ceilings, today = self.policy.ceilings_of("backup").values(), self.policy.today(now)
        ends = [
            each.last_day for limit in ceilings if limit.signed(today) and (each := self.policy.release(limit, now))
        ]
        if ends:
            return (say("letter.backups", until=max(ends)),)
        return (say("letter.backups_undecided"),) if ceilings else ()

    def copies(self, since: datetime | None) -> Sentences:
        """Returns until when a copy that was made before an erasure can be fetched; nothing if there is none."""
        if since is None:
            return ()
        return (say("letter.copies", until=since + timedelta(days=self._settings.package_days)),)

    def fetch(self, request: StoredRequest, now: datetime) -> Sentence:
        """Returns where a copy can be fetched that is made available now, until when and how often.

        It lies in the portal, where there is one, unless another system of the requester's asked by the API.
        """
        until = now + timedelta(days=self._settings.package_days)
        known: Mapping[str, Fact] = {"until": until, "times": self._settings.package_downloads}
        if request.channel != "api" and (url := PortalSettings().url):
            return say("package.fetch_in_portal", link=f"{url}/portal/{request.language}/follow", **known)
        return say("package.fetch", **known)
