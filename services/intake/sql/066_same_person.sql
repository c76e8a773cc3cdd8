-- All requests of one person, closed ones too: their files are part of what an access asks for (REQ-E2).
CREATE INDEX request_account ON request (proved_account) WHERE proved_account IS NOT NULL;
CREATE INDEX request_email ON request (proved_email) WHERE proved_email IS NOT NULL;
