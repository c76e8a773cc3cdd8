-- Of the open question: nobody has been able to read it yet; a person has worded it; that what it needs to stop the clock is on file.
ALTER TABLE request ADD COLUMN untold boolean, ADD COLUMN own_words boolean, ADD COLUMN condition_recorded boolean;
UPDATE request r SET untold = true FROM delivery d
 WHERE d.request_id = r.request_id AND d.state IN ('waiting', 'person') AND r.question_id IS NOT NULL
   AND d.awaited @> jsonb_build_array(jsonb_build_object('what', 'question', 'question_id', r.question_id::text))
   AND NOT d.awaited @> jsonb_build_array(jsonb_build_object('question_id', r.question_id::text, 'there', true));
