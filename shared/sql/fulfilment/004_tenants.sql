-- The customer of ours whose instruction it is: nothing but that customer's data is looked at.
ALTER TABLE fulfilment ADD COLUMN tenant text;
