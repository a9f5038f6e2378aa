-- Revision 6: when versions were verified. 2.13 does not look at it.

-- The last time that all blocks of a version, or a share of them, were read and found good. There is no reference to
-- `versions`, because a removal by 2.13 must not fail.
CREATE TABLE IF NOT EXISTS verifications (
    version_uid VARCHAR(36) COLLATE "C" NOT NULL,
    share       BIGINT      NOT NULL, -- percent of the blocks: 100 is all
    date        TIMESTAMP   NOT NULL,
    kind        VARCHAR(16) COLLATE "C" NOT NULL, -- 'scrub' or 'restore'
    PRIMARY KEY (version_uid, share)
);
CREATE OR REPLACE FUNCTION backy2_verifications_go() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM verifications WHERE version_uid = OLD.uid;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS verifications_go ON versions;
CREATE TRIGGER verifications_go AFTER DELETE ON versions
    FOR EACH ROW EXECUTE FUNCTION backy2_verifications_go();

DELETE FROM schema_version;
INSERT INTO schema_version (revision) VALUES (6);
