"""How what an archive holds now is compared with what its tables hold, in SQL."""

# `files` is what the tables hold once the open round has ended: a row a path, and the shard in which its rows are; of
# what was planned and not done it is null.
TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, bytes INT, changed INT, listing TEXT, content_id TEXT, duplicate_of TEXT,
    shard INT CHECK (shard BETWEEN 0 AND 1000000000), failed INT, attempts INT) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_bytes ON files (bytes);
CREATE INDEX IF NOT EXISTS by_content ON files (content_id);
CREATE INDEX IF NOT EXISTS by_shard ON files (shard);
CREATE TABLE IF NOT EXISTS carries (shard INT, path TEXT, source TEXT, source_shard INT) STRICT;
CREATE TABLE IF NOT EXISTS drops (shard INT, path TEXT) STRICT;
CREATE INDEX IF NOT EXISTS drops_by_shard ON drops (shard);
CREATE TABLE IF NOT EXISTS rounds (
    first_shard INT NOT NULL CHECK (first_shard BETWEEN 0 AND end_shard),
    end_shard INT NOT NULL CHECK (end_shard BETWEEN 0 AND 1000000000), is_open INT NOT NULL, id TEXT NOT NULL) STRICT;
CREATE TEMP TABLE IF NOT EXISTS now (
    path TEXT PRIMARY KEY, real BLOB UNIQUE, clip TEXT UNIQUE, bytes INT, changed INT, listing TEXT,
    content_id TEXT, duplicate_of TEXT, same INT, action TEXT, source TEXT, source_shard INT, shard INT,
    attempts INT DEFAULT 0) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS places (path TEXT, shard INT);
CREATE TEMP TABLE IF NOT EXISTS compared (path TEXT);
CREATE TEMP TABLE IF NOT EXISTS unlisted (path TEXT);
"""
# What no call of ours leaves behind, each with what it is; the first lets SQLite compare types and CHECKs.
_PLANNED = "BETWEEN (SELECT min(first_shard) FROM rounds) AND (SELECT max(end_shard) - 1 FROM rounds)"
IMPOSSIBLE = {
    "PRAGMA quick_check(1)": "values that are not of its types",
    f"SELECT 1 FROM files WHERE shard IS NOT NULL AND (shard {_PLANNED}) IS NOT TRUE": "files of no round",
    "SELECT 1 FROM rounds WHERE is_open AND end_shard - first_shard > (SELECT count(*) FROM files)": "empty rounds",
    f"SELECT 1 FROM drops WHERE path IS NULL OR (shard {_PLANNED}) IS NOT TRUE": "rows to drop of no round",
    f"""SELECT 1 FROM carries c LEFT JOIN files USING (path) WHERE source IS NULL OR bytes IS NULL
        OR (c.shard {_PLANNED}) IS NOT TRUE OR (source_shard {_PLANNED}) IS NOT TRUE
        OR json_type(listing) IS NOT 'object'""": "rows to carry of no file",
}
# The bytes are known where size and time of change are as they were.
RECOGNIZE = """
UPDATE now SET content_id = f.content_id, same = 1, attempts = f.attempts FROM files f
WHERE f.path = now.path AND f.bytes = now.bytes AND f.changed = now.changed;
"""
# Only a file whose size another one has, or had, can be its copy or bear its name; of segments those of the same times.
_SEGMENT = "json_extract(listing, '$.segment_start_seconds', '$.segment_end_seconds')"
TO_COMPARE = f"""
INSERT INTO compared SELECT path FROM now WHERE same IS NULL AND (
    (bytes, {_SEGMENT}) IN (SELECT bytes, {_SEGMENT} FROM now GROUP BY 1, 2 HAVING count(*) > 1)
    OR (bytes, {_SEGMENT}) IN (SELECT bytes, {_SEGMENT} FROM files WHERE content_id IS NOT NULL)) ORDER BY path
"""
FIND_COPIES = """
WITH ranked AS (
    SELECT now.path, first_value(now.path) OVER (
        PARTITION BY now.content_id ORDER BY f.path IS NULL, now.path) AS first
    FROM now LEFT JOIN files f
        ON f.path = now.path AND f.content_id = now.content_id AND f.duplicate_of IS NULL
    WHERE now.content_id IS NOT NULL)
UPDATE now SET duplicate_of = first FROM ranked WHERE ranked.path = now.path AND first <> now.path;
"""
KEEP = """
UPDATE now SET action = 'keep', shard = f.shard FROM files f
WHERE f.path = now.path AND f.listing = now.listing AND f.duplicate_of IS now.duplicate_of
    AND f.shard IS NOT NULL AND (now.same OR f.content_id = now.content_id) AND NOT (f.failed AND f.shard < ?);
"""
# Rows of the same bytes are there: other words in a manifest, a renamed file, a new copy.
CARRY_OWN = """
UPDATE now SET action = 'carry', source = f.path, source_shard = f.shard FROM files f
WHERE f.path = now.path AND f.content_id = now.content_id AND NOT f.failed AND f.shard IS NOT NULL
    AND now.action IS NULL;
"""
CARRY = """
WITH sources AS (
    SELECT content_id, min(path) AS source, shard AS source_shard FROM files
    WHERE NOT failed AND shard IS NOT NULL AND content_id IS NOT NULL GROUP BY content_id)
UPDATE now SET action = 'carry', source = sources.source, source_shard = sources.source_shard
FROM sources WHERE sources.content_id = now.content_id AND now.action IS NULL;
"""
# Of a folder, zip or file that could not be looked at nothing is known to be gone.
SPARE = """
INSERT INTO now (path, real, clip, bytes, changed, listing, content_id, duplicate_of, same, action, shard)
SELECT f.path, CAST('spared ' || f.path AS BLOB), 'spared ' || f.path, f.bytes, f.changed, f.listing, f.content_id,
    f.duplicate_of, 1, 'keep', f.shard
FROM files f
WHERE f.shard IS NOT NULL AND f.path NOT IN (SELECT path FROM now) AND f.path IN (
    SELECT path FROM unlisted
    UNION SELECT below.path FROM unlisted u
        JOIN files below ON below.path > u.path || '/' AND below.path < u.path || '0'
    UNION SELECT inside.path FROM unlisted u
        JOIN files inside ON inside.path > u.path || '!/' AND inside.path < u.path || '!0');
"""
# Files that are not there under any name.
GONE = """
SELECT count(*) FROM files f WHERE f.path NOT IN (SELECT path FROM now)
    AND (f.content_id IS NULL OR f.content_id NOT IN (SELECT content_id FROM now WHERE content_id IS NOT NULL))
"""
TO_DO = """
SELECT path, bytes, listing, duplicate_of, attempts, content_id FROM now WHERE action = 'do'
ORDER BY coalesce(duplicate_of, path), duplicate_of IS NOT NULL, path
"""
TOUCH = """
UPDATE files SET changed = now.changed FROM now
WHERE now.path = files.path AND action = 'keep' AND now.changed <> files.changed;
"""
COMMIT = """
DELETE FROM carries; DELETE FROM drops;
INSERT INTO drops SELECT f.shard, f.path FROM files f LEFT JOIN now ON now.path = f.path
    WHERE f.shard IS NOT NULL AND (now.path IS NULL OR now.action <> 'keep');
INSERT INTO carries SELECT shard, path, source, source_shard FROM now WHERE action = 'carry';
DELETE FROM files WHERE path NOT IN (SELECT path FROM now WHERE action = 'keep');
INSERT INTO files SELECT path, bytes, changed, listing, content_id, duplicate_of, shard, 0, attempts FROM now
    WHERE action <> 'keep';
"""
