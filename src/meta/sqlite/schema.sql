-- The normalised schema. The table `blocks` of 2.13 is a view with triggers here.
-- Column types are those of 2.13, so that its driver reads the same values.

CREATE TABLE versions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    uid           VARCHAR(36)   NOT NULL UNIQUE,
    date          DATETIME      NOT NULL,
    expire        DATETIME,
    name          VARCHAR(2048) NOT NULL,
    snapshot_name VARCHAR(2048) NOT NULL DEFAULT '',
    size          BIGINT        NOT NULL,
    size_bytes    BIGINT        NOT NULL,
    valid         INTEGER       NOT NULL,
    protected     INTEGER       NOT NULL
);

CREATE TABLE tags (
    version_uid VARCHAR(36)   NOT NULL REFERENCES versions (uid),
    name        VARCHAR(2048) NOT NULL,
    PRIMARY KEY (version_uid, name)
);

CREATE TABLE stats (
    date                DATETIME      NOT NULL,
    id                  INTEGER       NOT NULL PRIMARY KEY,
    version_uid         VARCHAR(36),
    version_name        VARCHAR(2048) NOT NULL,
    version_size_bytes  BIGINT        NOT NULL,
    version_size_blocks BIGINT        NOT NULL,
    bytes_read          BIGINT        NOT NULL,
    blocks_read         BIGINT        NOT NULL,
    bytes_written       BIGINT        NOT NULL,
    blocks_written      BIGINT        NOT NULL,
    bytes_found_dedup   BIGINT        NOT NULL,
    blocks_found_dedup  BIGINT        NOT NULL,
    bytes_sparse        BIGINT        NOT NULL,
    blocks_sparse       BIGINT        NOT NULL,
    duration_seconds    BIGINT        NOT NULL
);
CREATE INDEX ix_stats_version_uid ON stats (version_uid);

CREATE TABLE deleted_blocks (
    id               INTEGER NOT NULL PRIMARY KEY,
    uid              VARCHAR(32),
    size             BIGINT,
    delete_candidate INTEGER NOT NULL, -- 1: doomed, its data is being deleted
    time             BIGINT  NOT NULL
);
CREATE INDEX ix_deleted_blocks_uid ON deleted_blocks (uid);

-- id > 0: a stored blob. id = -n: a hole of n bytes (uid and checksum NULL, always valid).
-- AUTOINCREMENT never gives an id twice, so that a late reference can never meet another blob.
CREATE TABLE blobs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    uid         VARCHAR(32),
    checksum    VARCHAR(128),
    size        BIGINT   NOT NULL,
    valid       INTEGER  NOT NULL,
    enc_version INTEGER  NOT NULL DEFAULT 0,
    enc_envkey  VARCHAR(80),
    enc_nonce   VARCHAR(32),
    date        DATETIME NOT NULL
);
CREATE INDEX ix_blobs_uid ON blobs (uid);
CREATE INDEX ix_blobs_checksum ON blobs (checksum);
CREATE INDEX ix_blobs_invalid ON blobs (id) WHERE valid = 0;
-- Rows that agree in uid but not in the rest are two blobs: an old export, imported after a rekey.
CREATE UNIQUE INDEX ux_blobs_identity
    ON blobs (uid, coalesce(checksum, ''), size, enc_version, coalesce(enc_envkey, '')) WHERE id > 0;

-- A version is a list of integers.
CREATE TABLE block_map (
    version_id INTEGER NOT NULL REFERENCES versions (id),
    block_id   INTEGER NOT NULL,
    blob_id    INTEGER NOT NULL REFERENCES blobs (id),
    PRIMARY KEY (version_id, block_id)
) WITHOUT ROWID;
-- The index is not partial, so that look-ups by uid or checksum through the view can use it.
CREATE INDEX ix_block_map_blob ON block_map (blob_id);

CREATE VIEW blocks AS
SELECT b.uid AS uid, v.uid AS version_uid, m.block_id AS id, b.date AS date, b.checksum AS checksum,
       b.size AS size, b.valid AS valid, b.enc_version AS enc_version, b.enc_envkey AS enc_envkey,
       b.enc_nonce AS enc_nonce
FROM block_map m
JOIN versions v ON v.id = m.version_id
JOIN blobs b ON b.id = m.blob_id;

CREATE TRIGGER blocks_insert INSTEAD OF INSERT ON blocks BEGIN
    -- While its data is being deleted, nothing may bring a blob back under its old uid.
    SELECT RAISE(ABORT, 'this blob is being deleted')
        WHERE coalesce(NEW.uid, '') <> ''
          AND EXISTS (SELECT 1 FROM deleted_blocks WHERE uid = NEW.uid AND delete_candidate = 1);
    INSERT OR IGNORE INTO blobs (id, size, valid, enc_version, date)
        SELECT -NEW.size, NEW.size, 1, 0, NEW.date WHERE coalesce(NEW.uid, '') = '';
    INSERT INTO blobs (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
        SELECT NEW.uid, nullif(NEW.checksum, ''), NEW.size, NEW.valid, coalesce(NEW.enc_version, 0),
               nullif(NEW.enc_envkey, ''), nullif(NEW.enc_nonce, ''), NEW.date
        WHERE coalesce(NEW.uid, '') <> ''
        -- Of two opinions about a blob, the bad one counts.
        ON CONFLICT DO UPDATE SET valid = min(valid, excluded.valid);
    INSERT INTO block_map (version_id, block_id, blob_id)
        VALUES ((SELECT id FROM versions WHERE uid = NEW.version_uid), NEW.id,
                CASE WHEN coalesce(NEW.uid, '') = '' THEN -NEW.size
                     ELSE (SELECT id FROM blobs WHERE id > 0 AND uid = NEW.uid
                           AND coalesce(checksum, '') = coalesce(NEW.checksum, '') AND size = NEW.size
                           AND enc_version = coalesce(NEW.enc_version, 0)
                           AND coalesce(enc_envkey, '') = coalesce(NEW.enc_envkey, '')) END);
END;

CREATE TRIGGER blocks_update INSTEAD OF UPDATE ON blocks BEGIN
    SELECT RAISE(ABORT, 'only valid and enc_envkey of a block can be changed')
        WHERE NEW.uid IS NOT OLD.uid OR NEW.checksum IS NOT OLD.checksum OR NEW.size IS NOT OLD.size
           OR NEW.version_uid IS NOT OLD.version_uid OR NEW.id IS NOT OLD.id
           OR NEW.enc_version IS NOT OLD.enc_version;
    -- A hole stays valid.
    UPDATE blobs SET valid = NEW.valid, enc_envkey = nullif(NEW.enc_envkey, '')
    WHERE id > 0
      AND id = (SELECT m.blob_id FROM block_map m JOIN versions v ON v.id = m.version_id
                WHERE v.uid = OLD.version_uid AND m.block_id = OLD.id);
END;

CREATE TRIGGER blocks_delete INSTEAD OF DELETE ON blocks BEGIN
    DELETE FROM block_map
    WHERE version_id = (SELECT id FROM versions WHERE uid = OLD.version_uid) AND block_id = OLD.id;
END;

-- The migrations of 2.13 look at this table. It always says that there is nothing to do.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL PRIMARY KEY
);
INSERT INTO alembic_version (version_num) VALUES ('30349b678801');

-- The revision of this schema.
CREATE TABLE schema_version (
    revision INTEGER NOT NULL PRIMARY KEY
);
