-- Revision 3: the holders of locks, and the versions that a bad blob has made invalid. 2.13 does not look at either.

-- Claims exist beside the lock files, which anybody may have removed. Claims of dead processes do not count.
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

-- Versions that were valid until one of their blobs was found bad. They become valid again when it is good. There is no
-- reference to `versions`, because a removal by 2.13 must not fail.
CREATE TABLE invalidated (
    version_uid VARCHAR(36) NOT NULL PRIMARY KEY
);

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (3);
