-- Every column by which a person is searched, with the time that binds a number to its period.
CREATE INDEX IF NOT EXISTS acc_cdrs_caller ON acc_cdrs (caller_e164, start_time);
CREATE INDEX IF NOT EXISTS acc_cdrs_callee ON acc_cdrs (callee_e164, start_time);
CREATE INDEX IF NOT EXISTS acc_cdrs_pai ON acc_cdrs (pai, start_time) WHERE pai IS NOT NULL;
CREATE INDEX IF NOT EXISTS restricted_number_number ON restricted_number (number, valid_from);
CREATE INDEX IF NOT EXISTS acc_src ON acc (src_e164, time);
CREATE INDEX IF NOT EXISTS acc_dst ON acc (dst_e164, time);
CREATE INDEX IF NOT EXISTS acc_dst_ouser ON acc (dst_ouser_e164, time);
CREATE INDEX IF NOT EXISTS acc_src_pai ON acc (src_pai, time) WHERE src_pai IS NOT NULL;
CREATE INDEX IF NOT EXISTS missed_calls_src ON missed_calls (src_e164, time);
CREATE INDEX IF NOT EXISTS missed_calls_dst ON missed_calls (dst_e164, time);
CREATE INDEX IF NOT EXISTS missed_calls_dst_ouser ON missed_calls (dst_ouser_e164, time);
CREATE INDEX IF NOT EXISTS missed_calls_src_pai ON missed_calls (src_pai, time) WHERE src_pai IS NOT NULL;
CREATE INDEX IF NOT EXISTS acc_cdrs_caller_sip ON acc_cdrs (caller_sip, start_time) WHERE caller_sip IS NOT NULL;
CREATE INDEX IF NOT EXISTS acc_cdrs_callee_sip ON acc_cdrs (callee_sip, start_time) WHERE callee_sip IS NOT NULL;
CREATE INDEX IF NOT EXISTS acc_src_sip ON acc (src_sip, time) WHERE src_sip IS NOT NULL;
CREATE INDEX IF NOT EXISTS acc_dst_sip ON acc (dst_sip, time) WHERE dst_sip IS NOT NULL;
CREATE INDEX IF NOT EXISTS acc_dst_ouser_sip ON acc (dst_ouser_sip, time) WHERE dst_ouser_sip IS NOT NULL;
CREATE INDEX IF NOT EXISTS missed_calls_src_sip ON missed_calls (src_sip, time) WHERE src_sip IS NOT NULL;
CREATE INDEX IF NOT EXISTS missed_calls_dst_sip ON missed_calls (dst_sip, time) WHERE dst_sip IS NOT NULL;
CREATE INDEX IF NOT EXISTS missed_calls_dst_ouser_sip ON missed_calls (dst_ouser_sip, time) WHERE dst_ouser_sip IS NOT NULL;
-- Rows that may be anybody's, and of no customer who is known: counted with each answer.
CREATE INDEX IF NOT EXISTS acc_cdrs_caller_lost ON acc_cdrs (start_time) WHERE caller_e164 IS NULL AND caller_sip IS NULL AND caller::text NOT IN ('', 'anonymous');
CREATE INDEX IF NOT EXISTS acc_cdrs_callee_lost ON acc_cdrs (start_time) WHERE callee_e164 IS NULL AND callee_sip IS NULL AND callee::text NOT IN ('');
CREATE INDEX IF NOT EXISTS acc_src_user_lost ON acc (time) WHERE src_e164 IS NULL AND src_sip IS NULL AND src_user::text NOT IN ('', 'anonymous');
CREATE INDEX IF NOT EXISTS acc_dst_ouser_lost ON acc (time) WHERE dst_ouser_e164 IS NULL AND dst_ouser_sip IS NULL AND dst_ouser::text NOT IN ('');
CREATE INDEX IF NOT EXISTS acc_dst_user_lost ON acc (time) WHERE dst_e164 IS NULL AND dst_sip IS NULL AND dst_user::text NOT IN ('');
CREATE INDEX IF NOT EXISTS missed_calls_src_user_lost ON missed_calls (time) WHERE src_e164 IS NULL AND src_sip IS NULL AND src_user::text NOT IN ('', 'anonymous');
CREATE INDEX IF NOT EXISTS missed_calls_dst_ouser_lost ON missed_calls (time) WHERE dst_ouser_e164 IS NULL AND dst_ouser_sip IS NULL AND dst_ouser::text NOT IN ('');
CREATE INDEX IF NOT EXISTS missed_calls_dst_user_lost ON missed_calls (time) WHERE dst_e164 IS NULL AND dst_sip IS NULL AND dst_user::text NOT IN ('');
CREATE INDEX IF NOT EXISTS acc_cdrs_served ON acc_cdrs ((lower(served_domain::text) COLLATE "C"));
CREATE INDEX IF NOT EXISTS acc_served ON acc ((lower(served_domain::text) COLLATE "C"));
CREATE INDEX IF NOT EXISTS missed_calls_served ON missed_calls ((lower(served_domain::text) COLLATE "C"));
-- By age alone: the nightly sweep. Of acc_cdrs the partitions are enough.
CREATE INDEX IF NOT EXISTS acc_time ON acc (time);
CREATE INDEX IF NOT EXISTS missed_calls_time ON missed_calls (time);
