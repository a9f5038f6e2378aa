-- Revision 6: when versions were verified. 2.13 does not look at it.

-- The last time that all blocks of a version, or a share of them, were read and found good. There is no reference to
-- `versions`, because a removal by 2.13 must not fail.
CREATE TABLE verifications (
    version_uid VARCHAR(36) NOT NULL,
    share       INTEGER     NOT NULL, -- percent of the blocks: 100 is all
    date        DATETIME    NOT NULL,
    kind        VARCHAR(16) NOT NULL, -- 'scrub' or 'restore'
    PRIMARY KEY (version_uid, share)
);
CREATE TRIGGER verifications_go AFTER DELETE ON versions BEGIN
    DELETE FROM verifications WHERE version_uid = OLD.uid;
END;

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (6);
