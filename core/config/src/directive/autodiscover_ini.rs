//! AutoDiscover, oldest place: `autodiscover.ini`.

directives! {
    file AutodiscoverIni;

    /// Older place of x500_org_name in gromox.cfg.
    ORGANIZATION: text = "", restart, NotYet("AutoDiscover");
}
