CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next_id INTEGER NOT NULL,
    last_change INTEGER NOT NULL,
    size INTEGER NOT NULL,
    public INTEGER NOT NULL,
    guid BLOB NOT NULL,
    mapping_signature BLOB NOT NULL,
    locale TEXT NOT NULL,
    created INTEGER NOT NULL,
    properties BLOB NOT NULL
);
CREATE TABLE folders (
    id INTEGER PRIMARY KEY,
    parent INTEGER,
    name_key TEXT NOT NULL,
    state INTEGER NOT NULL,
    search INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL,
    recent_uid INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    unread INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    associated INTEGER NOT NULL,
    size INTEGER NOT NULL,
    associated_size INTEGER NOT NULL,
    soft_messages INTEGER NOT NULL,
    soft_size INTEGER NOT NULL,
    content_change INTEGER NOT NULL,
    change INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    subscribed INTEGER NOT NULL,
    name TEXT NOT NULL,
    class TEXT NOT NULL,
    pruned INTEGER NOT NULL DEFAULT 0,
    paged INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX folders_by_name ON folders (parent, name_key) WHERE state = 0;
CREATE TABLE folder_data (
    folder INTEGER PRIMARY KEY,
    properties BLOB NOT NULL,
    lineage BLOB,
    search_flags INTEGER,
    search_scope BLOB,
    search_restriction BLOB
);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    folder INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    state INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    keywords BLOB,
    change INTEGER NOT NULL,
    version INTEGER NOT NULL,
    read_change INTEGER,
    size INTEGER NOT NULL,
    received INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    source INTEGER,
    class TEXT,
    subject TEXT,
    sender TEXT,
    identity INTEGER,
    saved INTEGER
);
CREATE UNIQUE INDEX messages_by_uid ON messages (folder, uid) WHERE state = 0;
CREATE INDEX messages_by_received ON messages (folder, received) WHERE state = 0;
CREATE INDEX messages_hidden ON messages (folder, state) WHERE state <> 0;
CREATE INDEX messages_hidden_by_change ON messages (folder, change) WHERE state <> 0;
CREATE TABLE flag_pages (
    id INTEGER PRIMARY KEY,
    folder INTEGER NOT NULL,
    page INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    entries BLOB NOT NULL,
    UNIQUE (folder, page)
);
CREATE INDEX flag_pages_by_change ON flag_pages (folder, highest);
CREATE TABLE message_data (
    message INTEGER PRIMARY KEY,
    structure BLOB,
    properties BLOB NOT NULL,
    recipients BLOB,
    attachments BLOB,
    large_properties INTEGER,
    large_attachments INTEGER,
    lineage BLOB
);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    encoding INTEGER NOT NULL,
    hash_key INTEGER,
    hash BLOB NOT NULL,
    data BLOB
);
CREATE INDEX contents_by_hash ON contents (hash_key) WHERE hash_key IS NOT NULL;
CREATE TABLE content_shares (
    content INTEGER PRIMARY KEY,
    extra INTEGER NOT NULL
);
CREATE TABLE removed (
    folder INTEGER NOT NULL,
    change INTEGER NOT NULL,
    object INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    PRIMARY KEY (folder, change, object)
) WITHOUT ROWID;
CREATE TABLE keywords (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);
CREATE TABLE named_properties (
    id INTEGER PRIMARY KEY,
    property_set BLOB NOT NULL,
    lid INTEGER,
    name TEXT
);
CREATE TABLE replicas (
    id INTEGER PRIMARY KEY,
    guid BLOB NOT NULL UNIQUE
);
CREATE TABLE principals (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE permissions (
    folder INTEGER NOT NULL,
    principal INTEGER NOT NULL,
    rights INTEGER NOT NULL,
    PRIMARY KEY (folder, principal)
) WITHOUT ROWID;
CREATE TABLE read_states (
    message INTEGER NOT NULL,
    principal INTEGER NOT NULL,
    read INTEGER NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (message, principal)
) WITHOUT ROWID;
CREATE INDEX read_states_by_change ON read_states (principal, change);
CREATE TABLE rules (
    folder INTEGER NOT NULL,
    id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    state INTEGER NOT NULL,
    properties BLOB NOT NULL,
    PRIMARY KEY (folder, id)
) WITHOUT ROWID;
CREATE TABLE receive_folders (
    class TEXT PRIMARY KEY COLLATE NOCASE,
    folder INTEGER NOT NULL,
    modified INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE search_links (
    folder INTEGER NOT NULL,
    message INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    change INTEGER NOT NULL,
    unread INTEGER NOT NULL,
    PRIMARY KEY (folder, message)
) WITHOUT ROWID;
