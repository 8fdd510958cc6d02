//! The PAM module: `pam.cfg`.

directives! {
    file Pam;

    /// Where the PAM module's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/pam:/etc/gromox", restart, NotYet("PAM");
    /// The prompt for the password.
    PAM_PROMPT: text = "Password:", restart, NotYet("PAM");
}
