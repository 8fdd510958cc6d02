//! AutoDiscover, older place: `autodiscover.cfg`.

directives! {
    file Autodiscover;

    /// Older place of x500_org_name in gromox.cfg.
    X500_ORG_NAME: text = "(unspecified)", restart, NotYet("AutoDiscover");
}
