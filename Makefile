# GNU make. `install` needs the interpreter and nothing else; `setup` installs Debian packages, and the tests boot
# machines: both want root.

PYTHON = /usr/bin/python3
PREFIX = /usr
DESTDIR =
# For `install`: the services to declare in a new /etc/kubens/services.conf.
WRAP_SERVICES =
ENV_SERVICES =

LIBRARY = $(PREFIX)/lib/kubens
# What other packages configure there stays: kubens.conf(5).
CLEAR = find $(DESTDIR)$(LIBRARY) -mindepth 1 -maxdepth 1 ! -name '*.conf' -exec rm -rf {} +
GENERATORS = $(PREFIX)/lib/systemd/system-generators
UNITS = $(PREFIX)/lib/systemd/system
SERVICES_CONF = $(DESTDIR)/etc/kubens/services.conf
SHARE = $(DESTDIR)$(PREFIX)/share
# docutils, of the tests' environment or installed. Where there is none, `install` takes the pages that are there.
RST2MAN = $(if $(wildcard .venv/bin/python),.venv/bin/python -m docutils --writer=manpage,$(shell command -v rst2man))
PAGES = $(patsubst man/%.rst,build/man/%,$(wildcard man/*.rst))

# Where `releases` puts the trees of other systemd releases, and `check` looks for them.
TREES = build/trees
COUNT = 100000
SEED =
# How many tests `check` runs at a time: more than there are processors, as many wait for machines.
JOBS = 3
GIT = git -c safe.directory='*'
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' lib/kubens/__init__.py)
# Where packages are built.
BUILD = build/packages
# Options for pytest, as in `make check ARGS='-k nsenter -x'`.
ARGS =

RELEASES = bullseye trixie sid
MIRROR = http://deb.debian.org/debian
# gcc and the headers are for pystemd, of which PyPI has the source only.
# kubernetes-client for kubectl, which may be there already from elsewhere.
PACKAGES = busybox-static curl debhelper dh-python dpkg-dev fish gcc git groff iproute2 libc6-dev libsystemd-dev lintian \
	man-db nftables pkg-config procps python3-dev python3-docutils python3-venv rpm rpmlint shellcheck strace \
	systemd-container umoci util-linux wireguard-go wireguard-tools zsh $(if $(shell command -v kubectl),,kubernetes-client)
# A node with a container runtime, for `check-node` to boot: never on this computer itself.
NODES = build/nodes
# What virtual machines boot, for `check-vm`: a machine's own kernel has controllers of cgroups, and /dev/kmsg.
VMS = build/vms
VM_RELEASES = bullseye bookworm trixie sid
VM_PACKAGES = linux-image-cloud-amd64
# And nodes of those, with what a kernel of their own makes possible.
VM_NODES = build/vm-nodes
VM_NODE_RELEASES = bookworm trixie
VM_NODE_PACKAGES = apparmor,busybox-static,containerd,containernetworking-plugins,docker.io,iptables,nfs-kernel-server,policycoreutils,python3,runc,selinux-policy-default
# Before it, the client came with docker.io.
VM_NODE_PACKAGES_trixie = $(COMMA)docker-cli
# Debian 12 and all that it takes to become 13, for `check-upgrade`; python3 because the package depends on it.
UPGRADE = build/upgrade
# A tree with other generators, for `bench`.
PEERS = build/peers
NODE_RELEASES = bookworm trixie sid
NODE_PACKAGES = busybox-static,containerd,containernetworking-plugins,crun,iptables,logrotate,podman,python3-pystemd
COMMA = ,
TREE_PACKAGES = dbus,iproute2,libcap2-bin,nftables,procps,python3-minimal,systemd,systemd-sysv

.PHONY: help install uninstall setup packages man demo check check-node check-kubelet check-vm check-releases check-upgrade corpus check-faults fuzz lint bench bench-node docs releases deb rpm deploy check-packages

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

# The generator comes last and at once: a reload that found half of it would run it.
install: $(if $(RST2MAN),$(PAGES)) ## install into DESTDIR below PREFIX; WRAP_SERVICES= and ENV_SERVICES= declare services
	[ ! -d $(DESTDIR)$(LIBRARY) ] || $(CLEAR)
	install -d $(DESTDIR)$(LIBRARY) $(DESTDIR)$(GENERATORS) $(DESTDIR)$(UNITS) $(DESTDIR)$(PREFIX)/bin $(dir $(SERVICES_CONF))
	cd lib && find kubens kubensctl \( -name '*.py' -o -name py.typed \) -exec cp -p --parents {} $(abspath $(DESTDIR)$(LIBRARY)) \;
	sed -i 's|^RUNNER = .*|RUNNER = "$(LIBRARY)/kubens-netns"|' $(DESTDIR)$(LIBRARY)/kubens/netns_units.py
	sed -i 's|^HELPER = .*|HELPER = "$(LIBRARY)/kubens-pod"|' $(DESTDIR)$(LIBRARY)/kubens/pods/hostunits.py
	sed -i 's|^GUARD = .*|GUARD = "$(LIBRARY)/kubens-guard"|' $(DESTDIR)$(LIBRARY)/kubens/render.py
	$(PYTHON) -m compileall -q -f -d $(LIBRARY) $(DESTDIR)$(LIBRARY)
	install -m 644 generator/start.py $(DESTDIR)$(LIBRARY)/
	install -m 644 generator/bundle.py $(DESTDIR)$(LIBRARY)/
	install -m 755 packaging/live $(DESTDIR)$(LIBRARY)/
	sed 's|/usr/bin/python3|$(PYTHON)|' packaging/compile-start >$(DESTDIR)$(LIBRARY)/compile-start
	chmod 755 $(DESTDIR)$(LIBRARY)/compile-start
	$(PYTHON) -I -X no_debug_ranges generator/bundle.py $(DESTDIR)$(LIBRARY)
	install -m 755 libexec/kubens-netns libexec/kubens-pod libexec/kubens-guard $(DESTDIR)$(LIBRARY)/
	install -D -m 644 -t $(DESTDIR)$(LIBRARY)/netns conf/netns/*
	$(PYTHON) -I generator/templates.py $(DESTDIR)$(LIBRARY) $(DESTDIR)$(UNITS)
	install -D -m 644 -t $(DESTDIR)$(UNITS) conf/kubens-problems.service
	install -d $(DESTDIR)$(UNITS)/multi-user.target.wants
	ln -sf ../kubens-problems.service $(DESTDIR)$(UNITS)/multi-user.target.wants/
	install -m 755 bin/kubensenter $(DESTDIR)$(PREFIX)/bin/
	sed -e '1s|.*|#!$(PYTHON) -I|' -e 's|^LIBRARY = .*|LIBRARY = "$(LIBRARY)"|' bin/kubensctl \
		>$(DESTDIR)$(PREFIX)/bin/kubensctl
	chmod 755 $(DESTDIR)$(PREFIX)/bin/kubensctl
	install -D -m 644 conf/completion/kubensctl.bash $(SHARE)/bash-completion/completions/kubensctl
	install -D -m 644 conf/completion/_kubensctl $(SHARE)/zsh/site-functions/_kubensctl
	install -D -m 644 conf/completion/kubensctl.fish $(SHARE)/fish/vendor_completions.d/kubensctl.fish
	for page in $(notdir $(wildcard $(PAGES))); do \
		install -D -m 644 build/man/$$page $(SHARE)/man/man$${page##*.}/$$page; \
	done
	install -d $(SHARE)/doc/kubens
	for page in README.md $(wildcard docs/*.md); do \
		[ ! -e $$page ] || install -m 644 $$page $(SHARE)/doc/kubens/; \
	done
	test -e $(SERVICES_CONF) || sh conf/services.sh "$(WRAP_SERVICES)" "$(ENV_SERVICES)" \
		<conf/services.conf >$(SERVICES_CONF)
	sed -e 's|^generator=.*|generator=$(GENERATORS)/kubens-generator|' -e 's|^python=.*|python=$(PYTHON)|' \
		generator/recorded >$(DESTDIR)$(GENERATORS)/.kubens-recorded
	chmod 755 $(DESTDIR)$(GENERATORS)/.kubens-recorded
	sed -e '1s|/usr/bin/python3|$(PYTHON)|' -e 's|^LIBRARY = .*|LIBRARY = "$(LIBRARY)"|' \
		-e 's|^START = .*|START = "$(LIBRARY)/start.py"|' -e 's|^RECORDED = .*|RECORDED = "$(GENERATORS)/.kubens-recorded"|' \
		-e '/^HERE = /d' generator/kubens-generator >$(DESTDIR)$(GENERATORS)/.kubens-generator
	chmod 755 $(DESTDIR)$(GENERATORS)/.kubens-generator
	mv $(DESTDIR)$(GENERATORS)/.kubens-generator $(DESTDIR)$(GENERATORS)/kubens-generator

uninstall: ## remove what `install` put there, except for the configuration
	@set -- $(DESTDIR)/run/kubens-generator/*; [ ! -e "$$1" ] || \
		{ echo 'namespaces live: stop them first (kubensctl status shows them)' >&2; exit 1; }
	rm -f $(addprefix $(DESTDIR)$(GENERATORS)/,kubens-generator .kubens-recorded) $(DESTDIR)$(PREFIX)/bin/kubensenter \
		$(DESTDIR)$(PREFIX)/bin/kubensctl $(SHARE)/bash-completion/completions/kubensctl \
		$(SHARE)/zsh/site-functions/_kubensctl $(SHARE)/fish/vendor_completions.d/kubensctl.fish
	rm -f $(foreach page,$(notdir $(PAGES)),$(SHARE)/man/man$(subst .,,$(suffix $(page)))/$(page))
	rm -f $(addprefix $(DESTDIR)$(UNITS)/,kubens-problems.service multi-user.target.wants/kubens-problems.service)
	rm -f $(DESTDIR)$(UNITS)/netns_name@.service $(DESTDIR)$(UNITS)/netns_outside-*@.service \
		$(addprefix $(DESTDIR)$(UNITS)/netns-,$(addsuffix @.service,$(patsubst conf/netns/%.sh,%,$(wildcard conf/netns/*.sh))))
	[ ! -d $(DESTDIR)$(LIBRARY) ] || { $(CLEAR) && rmdir --ignore-fail-on-non-empty $(DESTDIR)$(LIBRARY); }
	rm -rf $(SHARE)/doc/kubens

setup: packages .venv/ready ## install what the tests need: Debian packages, and a Python environment in .venv

packages:
	@set -- $(PACKAGES); \
	installed() { [ "$$(dpkg-query -W -f '$${db:Status-Status}\n' "$$@" 2>&1 | grep -cx installed)" = $$# ]; }; \
	install() { apt-get install --yes --no-install-recommends "$$@"; }; \
	installed "$$@" || install "$$@" || { apt-get update && install "$$@"; }

.venv/ready: tests/requirements.txt
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

check: setup ## run all tests, JOBS at a time
	KUBENS_TREES=$(TREES) .venv/bin/python -m pytest --numprocesses=$(JOBS) --dist=worksteal $(ARGS)

# One for all releases: what depends on the interpreter is made where they are installed.
deb: packages ## build Debian packages in BUILD, build/packages by default
	rm -rf $(BUILD)/deb
	mkdir -p $(BUILD)/deb/kubens
	$(GIT) ls-files -z --cached --others --exclude-standard | xargs -0 cp -a --parents --target-directory=$(BUILD)/deb/kubens
	cd $(BUILD)/deb/kubens && dpkg-buildpackage --unsigned-source --unsigned-changes --build=binary >../log 2>&1 || \
		{ cat ../log >&2; exit 1; }
	lintian --allow-root --fail-on error,warning $(BUILD)/deb/*.changes
	@ls $(BUILD)/deb/*.deb

rpm: packages ## build an RPM package in BUILD
	rm -rf $(BUILD)/rpm
	mkdir -p $(BUILD)/rpm/SOURCES
	rpmlint packaging/rpm/kubens.spec
	$(GIT) ls-files -z --cached --others --exclude-standard | tar --create --gzip --null --files-from=- \
		--transform 's|^|kubens-$(VERSION)/|' --file $(BUILD)/rpm/SOURCES/kubens-$(VERSION).tar.gz
	rpmbuild --nodeps -bb --define "_topdir $(abspath $(BUILD))/rpm" packaging/rpm/kubens.spec >$(BUILD)/rpm/log 2>&1 || \
		{ cat $(BUILD)/rpm/log >&2; exit 1; }
	@ls $(BUILD)/rpm/RPMS/noarch/*.rpm

man: .venv/ready $(PAGES) ## make the manual pages

build/man/%: man/%.rst
	@mkdir -p $(@D)
	@$(RST2MAN) --strict $< $@.$$$$ && mv $@.$$$$ $@

deploy: ## make the manifests in deploy/ anew, from what the generator is made of
	$(PYTHON) -I deploy/openshift/make.py deploy/openshift

check-packages: setup releases ## walk through the life of the packages, and of what deploys, on every release (minutes)
	KUBENS_TREES=$(TREES) KUBENS_RELEASES=all .venv/bin/python -m pytest tests/fleet tests/package \
		tests/package/removal.py tests/package/kubectl.py $(ARGS)

check-node: setup .venv/node $(NODE_RELEASES:%=$(NODES)/%) ## run the tests with a real container runtime, on each of NODE_RELEASES
	KUBENS_NODES=$(NODES) .venv/bin/python -m pytest tests/node $(ARGS)

check-kubelet: setup .venv/node $(NODES)/bookworm $(NODES)/kubelet ## run the test with kubelet, built from Debian's source (some minutes)
	KUBENS_NODES=$(NODES) .venv/bin/python -m pytest tests/node/test_kubelet.py $(ARGS)

check-vm: PACKAGES += e2fsprogs qemu-system-x86
check-vm: setup $(VM_RELEASES:%=$(VMS)/%) $(VM_NODE_RELEASES:%=$(VM_NODES)/%) ## run the tests in virtual machines (some minutes)
	KUBENS_VMS=$(VMS) KUBENS_VM_NODES=$(VM_NODES) .venv/bin/python -m pytest tests/vm $(ARGS)

.venv/node: tests/node/requirements.txt .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

demo: setup ## show what kubens does, in a throw-away machine
	.venv/bin/python demo/demo.py

bench: PACKAGES += fonts-dejavu-core librsvg2-bin time valgrind
bench: setup bench-node $(PEERS)/trixie ## measure what the generator costs and what a namespace saves, beside each other
	.venv/bin/python bench/bench.py --peers $(PEERS)/trixie docs/bench.png

bench-node: setup $(NODES)/bookworm $(NODES)/sid ## measure a node with the mounts of 10, 100 and 400 pods; for docs/containers.md
	KUBENS_NODES=$(NODES) .venv/bin/python bench/node_cost.py docs/containers.md docs/node.svg

docs: setup ## make the pictures in README.md anew, from real runs
	FORCE_COLOR=1 .venv/bin/python demo/demo.py | .venv/bin/python demo/picture.py >docs/demo.svg.new
	mv docs/demo.svg.new docs/demo.svg
	.venv/bin/python demo/status.py | .venv/bin/python demo/picture.py >docs/status.svg.new
	mv docs/status.svg.new docs/status.svg

# A tree is named by its release; the machine's own OS is the fourth.
check-releases: releases check ## run all tests on every release, and thousands of random units
	KUBENS_TREES=$(TREES) KUBENS_BROKEN=all .venv/bin/python -m pytest tests/test_broken_configuration.py
	cd tests && for tree in / $(RELEASES:%=$(abspath $(TREES))/%); do \
		PYTHONPATH=../lib:. ../.venv/bin/python -m differential --lower $$tree --worlds 10 --runs 5 || exit 1; \
	done

check-upgrade: setup $(UPGRADE)/bookworm ## upgrade Debian 12 to 13 with members running (some minutes)
	KUBENS_UPGRADE=$(UPGRADE)/bookworm .venv/bin/python -m pytest tests/upgrade.py $(ARGS)

corpus: setup ## wrap each service of Debian's largest packages, and let systemd compare
	cd tests && PYTHONPATH=../lib:. ../.venv/bin/python -m differential.corpus

check-faults: setup ## let every system call of a run fail once with each error, or be the last one (some minutes)
	KUBENS_FAULTS=all .venv/bin/python -m pytest tests/test_failing_calls.py $(ARGS)

fuzz: setup ## random changes to configuration and units: COUNT inputs from SEED
	.venv/bin/python tests/fuzz_configuration.py $(COUNT) $(SEED)

lint: setup ## run the linters alone
	.venv/bin/python -m pytest tests/test_lint.py $(ARGS)

releases: $(RELEASES:%=$(TREES)/%) ## make trees of Debian 11, 13 and sid in TREES for the tests to boot as well

# Of Debian's release that the target is named by; the parameter is a comma and more packages.
define debootstrap
	command -v debootstrap || apt-get install --yes --no-install-recommends debootstrap
	mkdir -p $(@D)
	rm -rf $@.part
	debootstrap --variant=minbase --include=$(TREE_PACKAGES)$(1) $* $@.part $(MIRROR)
	mv $@.part $@
endef

$(UPGRADE)/bookworm:
	command -v debootstrap || apt-get install --yes --no-install-recommends debootstrap
	mkdir -p $(UPGRADE)
	rm -rf $@.part
	debootstrap --variant=minbase --include=$(TREE_PACKAGES)$(COMMA)python3 bookworm $@.part $(MIRROR)
	echo "deb $(MIRROR) trixie main" >$@.part/etc/apt/sources.list
	chroot $@.part apt-get update
	chroot $@.part apt-get --yes --download-only full-upgrade
	mv $@.part $@

$(TREES)/%:
	$(call debootstrap)

$(PEERS)/%:
	$(call debootstrap,$(COMMA)make$(COMMA)podman$(COMMA)systemd-cron)

$(NODES)/kubelet: tests/node/kubelet.sh
	mkdir -p $(@D)
	tests/node/kubelet.sh $(MIRROR) $@

$(NODES)/%:
	$(call debootstrap,$(COMMA)$(NODE_PACKAGES))

# gRPC is for the Python in there. The labels of SELinux take /proc to be set.
$(VM_NODES)/%: | .venv/ready
	$(call debootstrap,$(COMMA)$(VM_PACKAGES)$(COMMA)$(VM_NODE_PACKAGES)$(VM_NODE_PACKAGES_$*))
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
		--python-version=$$(basename $@/usr/lib/python3.*/ | sed s/python//) --target=$@/usr/lib/python3/dist-packages \
		--requirement=tests/node/requirements.txt || { mv $@ $@.part; exit 1; }
	unshare --mount sh -euc 'mount -t proc proc $@/proc; chroot $@ setfiles -F -e /proc \
		/etc/selinux/default/contexts/files/file_contexts /' || { mv $@ $@.part; exit 1; }

$(VMS)/%:
	$(call debootstrap,$(COMMA)$(VM_PACKAGES))
