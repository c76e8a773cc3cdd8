-- Where the word of one person would make a late breach timely, or close it as one without a risk, a second person says so too.
ALTER TABLE breach_assessment ADD COLUMN no_risk boolean NOT NULL DEFAULT false; -- unlikely to result in any risk (Art. 33(1)); not as 34: no high one

ALTER TABLE breach_notice
    ADD COLUMN noted_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN agreed_by text,               -- who else has said that they were told at that hour
    ADD COLUMN agreed_at timestamptz;
UPDATE breach_notice n SET noted_at = e.at
FROM breach b, evidence.entry e
WHERE b.breach_id = n.breach_id AND e.request_id = coalesce(b.request_id, b.breach_id) AND e.action = 'breach.notified'
  AND e.detail::jsonb ->> 'notice' = n.notice_id::text;
