-- By which version of the policy a plan was asked for: under another one the systems are asked anew.
ALTER TABLE plan ADD COLUMN policy_version text;
