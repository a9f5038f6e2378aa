-- Revision 3: who holds which lock, and which versions a bad blob has made invalid. 2.13 does not look at either.

-- Beside the lock files, which anybody may have removed. What a process has claimed that is gone counts for nothing.
CREATE TABLE claims (
    id        INTEGER PRIMARY KEY, -- given at random
    name      TEXT    NOT NULL, -- as that of the lock file: the uid of a version, or what else is locked
    exclusive INTEGER NOT NULL,
    host      TEXT    NOT NULL,
    machine   TEXT    NOT NULL, -- one boot of one kernel, and the process's name space
    pid       BIGINT  NOT NULL,
    started   BIGINT  NOT NULL, -- of the process, in ticks since the boot
    command   TEXT    NOT NULL,
    since     BIGINT  NOT NULL, -- unix seconds, as the next
    heard     BIGINT  NOT NULL -- when its holder last wrote something
);
CREATE INDEX ix_claims_name ON claims (name);

-- Versions that were valid until one of their blobs was found bad, so that they are valid again when it is good. No
-- reference to `versions`: a removal by 2.13 must not fail.
CREATE TABLE invalidated (
    version_uid VARCHAR(36) NOT NULL PRIMARY KEY
);

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (3);
