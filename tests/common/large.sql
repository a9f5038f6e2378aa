-- Adds one valid version with all of its blobs to a database that `backy2 initdb` made, as large as one likes.
-- The data of its blobs is in no store: it is for measuring what only concerns the metadata.
--
-- What to make is said before, on the same connection, in a temporary table of one row:
--
--   CREATE TEMP TABLE large AS SELECT 1000000 AS blocks, 300 AS scattered, 0 AS sparse, 4194304 AS block_size,
--       'vm' AS name, NULL AS checksum;
--
-- blocks      number of blocks; a multiple of 1000
-- scattered   of each 1000 neighbouring blocks so many name blobs all over the range of the version's blobs, as in
--             a version that has been carried and changed many times. Those before them name neighbouring blobs
-- sparse      of each 1000 neighbouring blocks the last so many are holes. At most 1000 together with `scattered`
-- block_size  in bytes; that of the configuration
-- name        of the version; its uid is 00000000-0000-1000-8000- and its key in 12 digits
-- checksum    NULL: each blob has one of its own. Else all blobs have this one: that of a block of zeros lets a
--             backup of a file of zeros take this version for one of that file
--
-- Run it again, with another row in `large`, for further versions.

PRAGMA cache_size = -1048576;
BEGIN IMMEDIATE;

INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
SELECT printf('00000000-0000-1000-8000-%012d', coalesce((SELECT max(id) FROM versions), 0) + 1),
       '2026-01-01 00:00:00.000000', name, '', blocks, blocks * block_size, 1, 0 FROM temp.large;

CREATE TEMP TABLE large_at AS
SELECT (SELECT max(id) FROM versions) AS version, coalesce((SELECT max(id) FROM blobs WHERE id > 0), 0) AS blob;

-- Multiplication by a prime, modulo 2^32, gives each number another one: checksums and uids in no order.
INSERT INTO blobs (id, uid, checksum, size, valid, enc_version, date)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers, temp.large WHERE n + 1 < blocks),
named (id, n, mixed) AS (
    SELECT blob + 1 + n, n, printf('%08x', (blob + 1 + n) * 2654435761 % 4294967296) FROM numbers, temp.large_at)
SELECT id, mixed || printf('%024x', id), coalesce(checksum, replace('----------------', '-', mixed)), block_size, 1, 0,
       '2026-01-01 00:00:00.000000'
FROM named, temp.large WHERE n % 1000 < 1000 - sparse;

INSERT OR IGNORE INTO blobs (id, size, valid, enc_version, date)
SELECT -block_size, block_size, 1, 0, '2026-01-01 00:00:00.000000' FROM temp.large WHERE sparse > 0;

-- The scattered blocks are numbered, and change places by multiplication with a prime, modulo their number.
INSERT INTO block_map (version_id, block_id, blob_id)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers, temp.large WHERE n + 1 < blocks),
places (n, rest, first, moved) AS (
    SELECT n, n % 1000, 1000 - scattered - sparse,
           (n / 1000 * scattered + n % 1000 - (1000 - scattered - sparse)) * 2654435761
               % max(blocks / 1000 * scattered, 1)
    FROM numbers, temp.large)
SELECT version, n,
       CASE WHEN rest >= 1000 - sparse THEN -block_size
            WHEN rest < first THEN blob + 1 + n
            ELSE blob + 1 + moved / scattered * 1000 + first + moved % scattered END
FROM places, temp.large, temp.large_at;

DROP TABLE temp.large_at;
DROP TABLE temp.large;
COMMIT;
