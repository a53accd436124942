-- A file as the first release writes it.
PRAGMA application_id = 0x474D5354;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE due (
    queue TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (queue, key)) WITHOUT ROWID;
INSERT INTO "due" VALUES('q','k',5.0,8938369995393121739);
CREATE TABLE entries (
    kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL,
    record INTEGER NOT NULL, PRIMARY KEY (kind, name, value, key)) WITHOUT ROWID;
INSERT INTO "entries" VALUES('area','user','u','released',1);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, file_id TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    state INTEGER NOT NULL, since REAL NOT NULL, owner INTEGER, checksum INTEGER NOT NULL);
CREATE TABLE intents (
    number INTEGER PRIMARY KEY, intent_id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL,
    checksum INTEGER NOT NULL, payload BLOB NOT NULL);
INSERT INTO "intents" VALUES(1,'i','push',-4290814234257274313,X'7061796C6F6164');
CREATE TABLE records (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    expires_at REAL, indexes TEXT NOT NULL, files TEXT NOT NULL, checksum INTEGER NOT NULL,
    value BLOB NOT NULL);
INSERT INTO "records" VALUES(1,'area','released',2,2000000000.5,'{"user": "u"}','',8573244565161613710,X'0076616C7565FF');
CREATE TABLE reservations (
    pool TEXT NOT NULL, number TEXT NOT NULL, holder TEXT NOT NULL, until REAL NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (pool, number)) WITHOUT ROWID;
INSERT INTO "reservations" VALUES('pool','1','h',2000000000.0,-3165715081490479859);
CREATE TABLE totals (
    name TEXT PRIMARY KEY, rows INTEGER NOT NULL, size INTEGER NOT NULL, digest INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "totals" VALUES('chunks',0,0,0);
INSERT INTO "totals" VALUES('due',1,0,8938369995393121739);
INSERT INTO "totals" VALUES('files',0,0,0);
INSERT INTO "totals" VALUES('intents',1,0,-4290814234257274313);
INSERT INTO "totals" VALUES('records',1,7,8573244565161613710);
INSERT INTO "totals" VALUES('reservations',1,0,-3165715081490479859);
CREATE TABLE units (
    number INTEGER PRIMARY KEY, unit_id TEXT NOT NULL UNIQUE, at REAL NOT NULL,
    versions TEXT NOT NULL);
INSERT INTO "units" VALUES(1,'u1',1339280777.0,'1');
INSERT INTO "units" VALUES(2,'u2',1339280777.0,'2');
CREATE UNIQUE INDEX records_key ON records (kind, key);
CREATE INDEX records_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX reservations_until ON reservations (until);
CREATE INDEX due_at ON due (queue, at, key);
CREATE INDEX intents_topic ON intents (topic, number);
CREATE INDEX files_ownerless ON files (state, since) WHERE owner IS NULL;
CREATE INDEX units_at ON units (at);
COMMIT;
