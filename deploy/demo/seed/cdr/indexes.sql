-- Every column by which a person is searched, with the time that binds a number to its period. Made after the first load.
CREATE INDEX IF NOT EXISTS acc_cdrs_caller ON acc_cdrs (caller_e164, start_time);
CREATE INDEX IF NOT EXISTS acc_cdrs_callee ON acc_cdrs (callee_e164, start_time);
CREATE INDEX IF NOT EXISTS acc_cdrs_pai ON acc_cdrs (pai, start_time) WHERE pai IS NOT NULL;
CREATE INDEX IF NOT EXISTS restricted_number_e164 ON restricted_number (e164, valid_from);
CREATE INDEX IF NOT EXISTS acc_src ON acc (src_e164, time);
CREATE INDEX IF NOT EXISTS acc_dst ON acc (dst_e164, time);
CREATE INDEX IF NOT EXISTS acc_dst_ouser ON acc (dst_ouser_e164, time);
CREATE INDEX IF NOT EXISTS acc_src_pai ON acc (src_pai, time) WHERE src_pai IS NOT NULL;
CREATE INDEX IF NOT EXISTS missed_calls_src ON missed_calls (src_e164, time);
CREATE INDEX IF NOT EXISTS missed_calls_dst ON missed_calls (dst_e164, time);
CREATE INDEX IF NOT EXISTS missed_calls_dst_ouser ON missed_calls (dst_ouser_e164, time);
CREATE INDEX IF NOT EXISTS missed_calls_src_pai ON missed_calls (src_pai, time) WHERE src_pai IS NOT NULL;
