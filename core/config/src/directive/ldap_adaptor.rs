//! LDAP: `ldap_adaptor.cfg`.

directives! {
    file LdapAdaptor;

    /// Most connections for verifying passwords.
    AUTH_CONNECTIONS: quantity(0..=MAX) = "(same as data_connections)", restart, NoEffect("it always equals data_connections");
    /// Connections for searching accounts.
    DATA_CONNECTIONS: quantity(1..=MAX) = "4", restart, NotYet("LDAP");
    /// Tolerates the protocol errors of Novell eDirectory.
    LDAP_EDIRECTORY_WORKAROUNDS: boolean = "false", restart, NotYet("LDAP");
    /// Name that searches are made under.
    LDAP_BIND_USER: text = "(unset)", restart, NotYet("LDAP");
    /// Password of ldap_bind_user.
    LDAP_BIND_PASS: secret = "(unset)", restart, NotYet("LDAP");
    /// URIs of the LDAP servers, separated by white space.
    LDAP_HOST: text = "(libldap default, see ldap.conf(5))", restart, NotYet("LDAP");
    /// Attribute with the primary address.
    LDAP_MAIL_ATTR: text = "(empty)", restart, NotYet("LDAP");
    /// Where searches begin.
    LDAP_SEARCH_BASE: text = "(libldap default)", restart, NotYet("LDAP");
    /// Encrypts the connection by STARTTLS.
    LDAP_START_TLS: boolean = "off", restart, NotYet("LDAP");
    /// Turns synchronisation from LDAP off.
    LDAP_DISABLED: boolean = "", restart, NoEffect("only Grommunio's administration service reads it");
    /// Attribute with an identifier that never changes.
    LDAP_OBJECT_ID: text = "(empty)", restart, NoEffect("only Grommunio's administration service reads it");
    /// Which entries are users.
    LDAP_USER_FILTER: text = "(empty)", restart, NoEffect("only Grommunio's administration service reads it");
    /// Attribute with the display name.
    LDAP_USER_DISPLAYNAME: text = "(empty)", restart, NoEffect("only Grommunio's administration service reads it");
    /// Attributes that a search compares; one a line.
    LDAP_USER_SEARCH_ATTRS: repeated = "(empty set)", restart, NoEffect("only Grommunio's administration service reads it");
    /// Templates for users; one a line.
    LDAP_USER_TEMPLATE: repeated = "(empty set)", restart, NoEffect("only Grommunio's administration service reads it");
    /// Attribute with further addresses.
    LDAP_USER_ALIASES: text = "(empty)", restart, NoEffect("only Grommunio's administration service reads it");
}
