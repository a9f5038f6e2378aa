-- Revision 2: the tables for RBD snapshots. 2.13 does not look at them.

-- The snapshots that versions were made from. There is no reference to `versions`, because a removal by 2.13 must not
-- fail.
CREATE TABLE version_origins (
    version_uid VARCHAR(36)   NOT NULL PRIMARY KEY,
    cluster     VARCHAR(64)   NOT NULL,
    pool        BIGINT        NOT NULL,
    namespace   VARCHAR(2048) NOT NULL,
    image       VARCHAR(256)  NOT NULL,
    snapshot    BIGINT        NOT NULL,
    taken       BIGINT        NOT NULL -- nanoseconds since 1970
);
CREATE TRIGGER version_origins_go AFTER DELETE ON versions BEGIN
    DELETE FROM version_origins WHERE version_uid = OLD.uid;
END;

-- The snapshots that backups have made or are about to make. The program removes no others.
CREATE TABLE made_snapshots (
    cluster   VARCHAR(64)   NOT NULL,
    pool      BIGINT        NOT NULL,
    namespace VARCHAR(2048) NOT NULL,
    image     VARCHAR(256)  NOT NULL,
    name      VARCHAR(2048) NOT NULL,
    PRIMARY KEY (cluster, pool, namespace, image, name)
);

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (2);
