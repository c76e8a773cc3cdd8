-- A customer's key speaks for that customer's data alone; what it asks for is an instruction with an id of the customer's.
ALTER TABLE api_key ADD COLUMN tenant text;
ALTER TABLE request ADD COLUMN tenant text, ADD COLUMN instruction_id text;
