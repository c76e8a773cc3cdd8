-- Who may do what with call records: the switch writes, agents and analytics read, the privacy platform does both.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['cdr_switch', 'cdr_reader', 'cdr_privacy'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this server has it already
        END;
    END LOOP;
END
$$;
