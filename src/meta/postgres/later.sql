-- Revision 3. On SQLite it also has claims, which are rows of `locks` here.

-- Versions that were valid until one of their blobs was found bad. They become valid again when it is good. There is no
-- reference to `versions`, because a removal by 2.13 must not fail.
CREATE TABLE IF NOT EXISTS invalidated (
    version_uid VARCHAR(36) COLLATE "C" NOT NULL PRIMARY KEY
);

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (3);
