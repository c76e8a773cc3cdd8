"""Metrics of requests; definitions: ``docs/metrics.md``."""

from functools import partial

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics import PEOPLE, Means, Percentiles

_counter, _gauge = partial(Counter, registry=PEOPLE), partial(Gauge, registry=PEOPLE)

REQUESTS = _counter("dsr_requests_total", "Requests, by what happened to them", ["right", "event"])
CLOSED = _counter("dsr_requests_closed_total", "Requests closed, by outcome", ["right", "outcome"])
OPEN_SECONDS = Histogram(
    "dsr_request_open_seconds",
    "From accepted to closed",
    ["right"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86400, 604800, 2592000),
    registry=PEOPLE,
)
WAITING = _gauge("dsr_requests_waiting", "Open requests that wait for a person", ["right", "state"])
KEYS_SUSPENDED = _gauge("dsr_api_keys_suspended", "API keys that exceeded the hourly erasure limit")
ERASURES_SUSPENDED = _gauge("dsr_erasures_suspended", "Erasures that wait until their API key is released")
HOLDS = _gauge("dsr_legal_holds", "Legal holds, by whether their review is still ahead", ["review"])
EXTENSIONS = _gauge("dsr_extensions_approved", "Extensions approved in the last 30 days", ["reason"])
EXTENSIONS_REFUSED = _counter("dsr_extensions_refused_total", "Extensions that were refused", ["flaw"])
ORPHANS = _gauge("dsr_vault_orphans", "Subjects whose data the vault holds without need", ["what"])
CONFLICTS = _gauge("dsr_assignment_conflicts", "Contradictions about whose a number was, by the register", ["kind"])
WITHHELD = _gauge("dsr_packages_withheld", "Packages with a row that is not shown to be the subject's")
INCIDENTS = _gauge(
    "dsr_incidents_open", "Open incidents, by whether the authority was notified or the 72 hours last", ["in_time"]
)
INCIDENTS_FOUND = _gauge("dsr_incidents_found", "Incidents found in the last 30 days, by whom", ["found_by"])
DECIDED = _gauge(
    "dsr_decisions",
    "Requests that two people refused or answered in part in the last 30 days, by reason",
    ["decision", "reason", "article"],
)
PACKAGES_ENDED = _gauge("dsr_packages_ended", "Packages whose days ended in the last 30 days", ["result"])
COVERED = _gauge("dsr_requests_covered", "Of those worked, how many have every receipt", ["right"])
WORKED = _gauge("dsr_requests_worked", "Requests with downstream work, answered in the last 30 days", ["right"])
CHECKED = _counter("dsr_suppression_checked_total", "Contact points that were asked about before marketing", ["answer"])
RECIPIENTS = _gauge(
    "dsr_recipient_notices_open", "Notices to recipients that are to be sent, or to be confirmed", ["state"]
)
PROOFS_STOPPED = _gauge(
    "dsr_proofs_stopped", "Requests whose proof waits for a person: wrong codes, withheld, disowned", ["reason"]
)
LETTERS = _gauge(
    "dsr_letters_open", "Letters that wait to be delivered, or for a person to see to them", ["way", "state"]
)
LETTERS_SENT = _counter(
    "dsr_letters_sent_total", "Letters that the next server has accepted, or that were posted", ["way"]
)
LETTERS_STOPPED = _counter("dsr_letters_stopped_total", "Letters that a person must see to", ["reason"])
LETTER_WAIT = Gauge("dsr_letter_wait_seconds", "For how long the oldest letter waits to be delivered", ["way"])
MAIL = _counter("dsr_mail_read_total", "Mails that were read, by what they are", ["kind"])
MAIL_WAITING = _gauge("dsr_mail_waiting", "Mails that wait for a person", ["state"])
MAIL_WAIT = Gauge("dsr_mail_wait_seconds", "For how long the oldest mail waits for a person")
REFUSED = Counter("dsr_calls_refused_total", "Calls of the API that were refused, by problem", ["problem"])
for _problem in ("unauthorised", "too_large", "too_many_calls", "overloaded"):
    REFUSED.labels(_problem)  # shown as 0 until the first
TIME_TO_CLOSE = Percentiles("dsr_time_to_close_days", "From receipt to closure, last 30 days", "right")
DETECTION_LAG = Percentiles("dsr_detection_lag_days", "From receipt to acceptance, last 30 days", "channel")
BUSINESS_DAYS = Means("dsr_response_business_days", "Mean business days to the answer, last 30 days", "right")
BUSINESS_DAYS_BY_SYSTEM = Means(
    "dsr_response_business_days_by_system", "The same, of requests in which that system had a part", "system"
)
BUSINESS_DAYS_PROMISED = Gauge(
    "dsr_response_business_days_promised", "Business days that the privacy notice names as the longest average"
)
