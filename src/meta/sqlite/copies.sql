-- Revision 5: which metadata has a copy in the store. 2.13 does not look at it, but its changes are noticed.

-- Versions whose copy in the store is not up to date, and versions that were removed and may still have a copy. Every
-- change gives a new token, so that nobody takes a later change for one that was copied.
CREATE TABLE copies_due (
    token       INTEGER PRIMARY KEY AUTOINCREMENT,
    version_uid VARCHAR(36) NOT NULL UNIQUE
);

-- The objects with lists of blobs.
CREATE TABLE index_objects (
    name  VARCHAR(64) NOT NULL PRIMARY KEY, -- without its folder
    total BIGINT      NOT NULL, -- number of blobs in the list
    live  BIGINT      NOT NULL -- number of blobs that need this object and have a row; 0 while the object is written
);

-- Which object holds which blobs. The runs do not overlap. A blob in none of them has no copy yet.
CREATE TABLE index_runs (
    first_id INTEGER     NOT NULL PRIMARY KEY,
    last_id  BIGINT      NOT NULL,
    object   VARCHAR(64) NOT NULL
);
CREATE INDEX ix_index_runs_object ON index_runs (object);

-- The statement that fires a trigger decides what happens in a conflict, so each trigger deletes the old row itself.
CREATE TRIGGER copies_due_new_version AFTER INSERT ON versions BEGIN
    DELETE FROM copies_due WHERE version_uid = NEW.uid;
    INSERT INTO copies_due (version_uid) VALUES (NEW.uid);
END;

CREATE TRIGGER copies_due_version AFTER UPDATE ON versions
WHEN (OLD.id, OLD.uid, OLD.date, OLD.expire, OLD.name, OLD.snapshot_name, OLD.size, OLD.size_bytes, OLD.valid, OLD.protected)
    IS NOT (NEW.id, NEW.uid, NEW.date, NEW.expire, NEW.name, NEW.snapshot_name, NEW.size, NEW.size_bytes, NEW.valid, NEW.protected)
BEGIN
    DELETE FROM copies_due WHERE version_uid IN (OLD.uid, NEW.uid);
    INSERT INTO copies_due (version_uid) VALUES (NEW.uid);
    INSERT INTO copies_due (version_uid) SELECT OLD.uid WHERE OLD.uid IS NOT NEW.uid;
END;

CREATE TRIGGER copies_due_old_version AFTER DELETE ON versions BEGIN
    DELETE FROM copies_due WHERE version_uid = OLD.uid;
    INSERT INTO copies_due (version_uid) VALUES (OLD.uid);
END;

CREATE TRIGGER copies_due_new_tag AFTER INSERT ON tags BEGIN
    DELETE FROM copies_due WHERE version_uid = NEW.version_uid;
    INSERT INTO copies_due (version_uid) VALUES (NEW.version_uid);
END;

CREATE TRIGGER copies_due_tag AFTER UPDATE ON tags BEGIN
    DELETE FROM copies_due WHERE version_uid IN (OLD.version_uid, NEW.version_uid);
    INSERT INTO copies_due (version_uid) VALUES (NEW.version_uid);
    INSERT INTO copies_due (version_uid) SELECT OLD.version_uid WHERE OLD.version_uid IS NOT NEW.version_uid;
END;

CREATE TRIGGER copies_due_old_tag AFTER DELETE ON tags BEGIN
    DELETE FROM copies_due WHERE version_uid = OLD.version_uid;
    INSERT INTO copies_due (version_uid) VALUES (OLD.version_uid);
END;

-- 2.13 adds the statistics after the version is complete.
CREATE TRIGGER copies_due_statistics AFTER INSERT ON stats
WHEN EXISTS (SELECT 1 FROM versions WHERE uid = NEW.version_uid)
BEGIN
    DELETE FROM copies_due WHERE version_uid = NEW.version_uid;
    INSERT INTO copies_due (version_uid) VALUES (NEW.version_uid);
END;

-- The copy of a version lists its bad blobs.
CREATE TRIGGER copies_due_blob AFTER UPDATE OF valid ON blobs WHEN OLD.valid IS NOT NEW.valid BEGIN
    DELETE FROM copies_due WHERE version_uid IN
        (SELECT v.uid FROM block_map m JOIN versions v ON v.id = m.version_id WHERE m.blob_id = NEW.id);
    INSERT INTO copies_due (version_uid)
        SELECT DISTINCT v.uid FROM block_map m JOIN versions v ON v.id = m.version_id WHERE m.blob_id = NEW.id;
END;

CREATE TRIGGER index_objects_live AFTER DELETE ON blobs WHEN OLD.id > 0 BEGIN
    UPDATE index_objects SET live = live - 1
    WHERE name = (SELECT CASE WHEN last_id >= OLD.id THEN object END FROM index_runs
                  WHERE first_id <= OLD.id ORDER BY first_id DESC LIMIT 1);
END;

INSERT INTO copies_due (version_uid) SELECT uid FROM versions ORDER BY id;

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (5);
