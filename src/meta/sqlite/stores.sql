-- Revision 4: which store belongs to the database.

-- The store that the blobs are in. 2.13 does not look at it.
CREATE TABLE stores (
    name   VARCHAR(64) NOT NULL PRIMARY KEY, -- 'main'; 'making' while its identity is being written
    uuid   VARCHAR(36) NOT NULL,
    envkey VARCHAR(80) -- the store key, wrapped with the master key
);

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (4);
