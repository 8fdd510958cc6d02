//! The account database: `mysql_adaptor.cfg`.

directives! {
    file MysqlAdaptor;

    /// Connections to the SQL server.
    CONNECTION_NUM: quantity(1..=MAX) = "8", restart, NotYet("MariaDB");
    /// Gives an account without a password the one that is used first.
    ENABLE_FIRSTTIMEPW: boolean = "no", restart, Effective;
    /// Name of the database.
    MYSQL_DBNAME: text = "email", restart, NotYet("MariaDB");
    /// The SQL server.
    MYSQL_HOST: text = "localhost", restart, NotYet("MariaDB");
    /// Password for the SQL server.
    MYSQL_PASSWORD: secret = "(unset)", restart, NotYet("MariaDB");
    /// Port of the SQL server.
    MYSQL_PORT: quantity(1..=65535) = "3306", restart, NotYet("MariaDB");
    /// Longest time a read or write on the connection may take; 0 is no limit.
    MYSQL_RDWR_TIMEOUT: duration = "0 (no timeout)", restart, NotYet("MariaDB");
    /// Certificate of this client.
    MYSQL_TLS_CERT: path = "(empty)", restart, NotYet("MariaDB");
    /// Private key of this client.
    MYSQL_TLS_KEY: path = "(empty)", restart, NotYet("MariaDB");
    /// Account on the SQL server.
    MYSQL_USERNAME: text = "root", restart, NotYet("MariaDB");
    /// Time between two looks at the connections.
    SCAN_INTERVAL: duration(1..=MAX) = "1 minute", restart, NotYet("MariaDB");
    /// Which host upgrades the schema: host:NAME.
    SCHEMA_UPGRADE: text = "host:(system_hostname)", restart, NotYet("MariaDB");
}
