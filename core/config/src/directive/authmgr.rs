//! Which back end verifies passwords: `authmgr.cfg`.

directives! {
    file Authmgr;

    /// Who verifies passwords: nobody, everybody passes, LDAP or PAM for those accounts that belong there
    /// (externid is ldap's old name).
    AUTH_BACKEND_SELECTION: choice("deny_all", "allow_all", "ldap", "externid", "pam") = "ldap", restart, Effective;
}
