-- Revision 3. On SQLite it has claims, which are rows of `locks` here.
DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (3);
