-- Revision 3. On SQLite it has claims as well, which are rows of `locks` here.

-- Versions that were valid until one of their blobs was found bad, so that they are valid again when it is good. No
-- reference to `versions`: a removal by 2.13 must not fail.
CREATE TABLE IF NOT EXISTS invalidated (
    version_uid VARCHAR(36) COLLATE "C" NOT NULL PRIMARY KEY
);

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (3);
