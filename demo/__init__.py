"""The demo host: a whole OSTree+RPM host under build/, and a session of `layer` on it.

How it is composed, in the order of the modules:

* `packages`: apt fetches real Debian packages; rpmbuild turns each into an RPM whose dependencies rpm's own
  ELF and script generators wrote.
* `base`: librpm installs the closure of a base system into a tree (no --nodeps, so the closure is proven
  complete), the tree is shaped as OSTree wants it and committed to the remote: version 12.1 and a `devel`
  branch that has strace. A yum repository offers strace, jq and htop.
* `host`: a sysroot that follows the remote, version 12.1 deployed, and the demo's own look at it.
* `session`: the commands, each checked.

Nothing outside build/ is written. What costs time is kept in build/demo-cache; delete it to start anew.
"""
