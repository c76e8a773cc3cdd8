-- Who may do what with call records: the switch writes, agents and analytics read, the privacy platform does both, and
-- counsel reads what is restricted, with a reason.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['cdr_switch', 'cdr_reader', 'cdr_privacy', 'cdr_legal'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this server has it already
        END;
    END LOOP;
    -- Their queries find the views of readers.sql under the names of the tables; a copy of the database does not keep this.
    EXECUTE format('ALTER ROLE cdr_reader IN DATABASE %I SET search_path = readable', current_database());
END
$$;
