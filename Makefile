# SPDX-License-Identifier: GPL-2.0
# What a user and a developer of Netveil call; the work is done in scripts/.
# (The kernel's build system reads Kbuild, not this file.)

KDIR	?= /lib/modules/$(shell uname -r)/build
KERNELS	?=
TESTS	?=
VM	?= qemu
KERNEL	?= 6.12
BUILDS	?=
BENCH	?= default
ONLY	?=
PROFILE	?=

SUDO	:= $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: all module tools load unload demo check check-long check-faults check-debug check-races check-selftests check-two-vms check-matrix check-builds kselftest bench fuzz fuzz-vm soak vm uml uml-debug debug kcsan deb rpm check-tools check-deb check-install check-servers pictures lint lint-more coverage clean help

all: $(if $(wildcard $(KDIR)/Makefile),module,no-headers) tools ## Build netveil.ko for the running kernel, and veil

.PHONY: no-headers
no-headers:
	@echo "netveil.ko is not built: $(KDIR) is missing, the headers of the running kernel" \
		"(Debian: apt-get install linux-headers-$(shell uname -r)), or name another: make KDIR=..."

# A KDIR with vmlinux wants pahole, and says so in no clearer words than 127.
.PHONY: pahole
pahole:
	@test ! -e $(KDIR)/vmlinux || command -v pahole >/dev/null || { echo "pahole is missing," \
		"which $(KDIR) needs: apt-get install pahole" >&2; exit 1; }

module: pahole ## Build netveil.ko for the kernel in KDIR
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

tools: ## Build veil
	$(MAKE) -C userspace

load: ## Load netveil.ko, after what this kernel's build of it depends on
	@test -f netveil.ko || { echo "netveil.ko is not built: run make first" >&2; exit 1; }
	@for module in $$(modinfo -F depends netveil.ko | tr , ' '); do \
		$(SUDO) modprobe $$module || exit; \
	done
	$(SUDO) insmod netveil.ko

unload: ## Remove netveil.ko again
	$(SUDO) rmmod netveil

demo: ## Show in a VM what a tap sees before and after
	@scripts/demo.sh

check: ## Build, run the unit tests and the VM tests (KERNELS="6.1 6.12" TESTS=words VM=qemu|uml|uml-debug|debug|kcsan|virtme GUESTS=2)
	@KERNELS="$(KERNELS)" TESTS="$(TESTS)" VM="$(VM)" scripts/check.sh

check-long: ## The tests that take long, such as the whole matrix (with the same words)
	@LONG=yes KERNELS="$(KERNELS)" TESTS="$(TESTS)" VM="$(VM)" scripts/check.sh

check-debug: ## make check on a debug kernel: KASAN, lockdep, kmemleak, UBSAN (TESTS=words; VM=debug: on two CPUs)
	@VM=$(if $(filter debug,$(VM)),debug,uml-debug) TESTS="$(TESTS)" scripts/check.sh

check-races: ## Traffic and changes on two CPUs of a kernel that watches for data races (TESTS=words)
	@VM=kcsan TESTS="$(or $(TESTS),t_races lifecycle t_traffic namespace trial)" scripts/check.sh

check-faults: ## Each allocation of the module's fails in turn, on the debug kernel (TESTS=words; VM=uml TESTS=calls)
	@LONG=faults VM=$(if $(filter uml,$(VM)),uml,uml-debug) TESTS="$(TESTS)" scripts/check.sh

check-two-vms: ## Two VMs joined by virtio-net, and QEMU's capture of it (KERNEL=6.12)
	@KERNEL="$(KERNEL)" scripts/two-vms.sh

check-selftests: ## Programs of the kernel's own networking selftests over an encrypted link
	@LONG=selftests KERNELS="$(KERNELS)" VM="$(VM)" TESTS="$(TESTS)" scripts/check.sh

# Six kernels on two CPUs take two hours.
check-matrix: ## The same on every kernel that Debian supports, and the newest two of backports
	@LIMIT=$(or $(LIMIT),14400) KERNELS="$$(scripts/kernels.sh matrix | tr '\n' ' ')" TESTS="$(TESTS)" scripts/check.sh

check-builds: ## No warning without IPv6, for 32 bits, by clang, for arm64 and PREEMPT_RT; tests on the last two (BUILDS="no-ipv6 32-bit clang arm64 rt")
	@BUILDS="$(BUILDS)" scripts/check-builds.sh

kselftest: ## The VM tests under the kernel's own runner (KERNEL=uml TESTS=words)
	@KERNEL="$(if $(filter file,$(origin KERNEL)),uml,$(KERNEL))" TESTS="$(TESTS)" scripts/kselftest.sh

fuzz: ## Fuzz what parses bytes, natively (SECONDS=600 for each target)
	$(MAKE) -C tests/fuzz fuzz

fuzz-vm: ## Hostile packets and requests in the debug kernel, guided by what of the module they reach (SECONDS=600 VM=uml)
	@NETVEIL_FUZZ=$(or $(SECONDS),600) scripts/fuzz-vm.sh $(if $(filter uml,$(VM)),uml,uml-debug)

soak: ## Mixed traffic for an hour, with new keys every three seconds (SECONDS=3600 or MINUTES=60, VM=qemu|uml|uml-debug KERNEL=6.12)
	@NETVEIL_SOAK=$$(($(if $(MINUTES),$(MINUTES) * 60,$(or $(SECONDS),3600)))) \
		scripts/soak.sh $(if $(filter uml%,$(VM)),$(VM),$(KERNEL))

bench: ## Speed beside WireGuard, ESP and MACsec (BENCH=quick|default|full|native ONLY="tcp netveil-gcm" PROFILE=tcp KERNEL=6.12)
	@KERNEL="$(KERNEL)" BENCH="$(BENCH)" ONLY="$(ONLY)" PROFILE="$(PROFILE)" scripts/bench/bench.sh

vm: ## A shell in a VM with two hosts and the tap between them (KERNEL=6.12)
	@scripts/vm-run.sh --kernel $(KERNEL) --shell -- scripts/guest/shell.sh

uml: ## Build the User Mode Linux kernel for make check VM=uml
	@scripts/build-kernel.sh uml

uml-debug: ## The same with KASAN, lockdep and kmemleak, for VM=uml-debug
	@scripts/build-kernel.sh uml-debug

debug: ## The same checkers in a kernel for QEMU, with two CPUs, for VM=debug
	@scripts/build-kernel.sh debug

kcsan: ## A kernel for QEMU that watches for data races, for VM=kcsan
	@scripts/build-kernel.sh kcsan

check-tools: ## What other programs make of it: tshark, promtool, JSON schema, ynl (KERNEL=6.12)
	@KERNEL="$(KERNEL)" scripts/check-tools.sh

pictures: ## The README's pictures, from a run of check-tools
	@KERNEL="$(KERNEL)" scripts/check-tools.sh pictures

check-servers: ## nginx, PostgreSQL, Redis, SSH, NFS, NVMe, etcd between protected hosts (KERNEL=6.12)
	@KERNEL="$(KERNEL)" scripts/check-servers.sh

check-deb: ## The packages in a fresh Debian: install, a further kernel, upgrade, remove (SUITE=trixie)
	@scripts/check-deb.sh

check-install: ## The README's first commands, typed into two fresh Debian machines, to a reboot
	@scripts/check-install.sh

deb: ## Debian packages netveil-dkms and netveil-tools, in this folder
	@scripts/packaging/deb.sh

rpm: ## RPM packages of the same names, in this folder; tried on Debian only
	@scripts/packaging/rpm.sh

lint: ## Static checks: shellcheck, checkpatch, W=1, sparse (KERNEL=6.12)
	@KERNEL="$(KERNEL)" scripts/lint.sh

lint-more: ## Further ones: cppcheck, gcc -fanalyzer, clang-tidy, the kernel's Coccinelle scripts
	@scripts/lint-more.sh

coverage: ## Which lines of the pure parts the unit tests run, or with VM=uml of the whole module the VM tests (TESTS=words)
	@VM="$(VM)" TESTS="$(TESTS)" scripts/coverage.sh

clean: ## Remove what was built in this folder (the cache stays)
	rm -f *.ko *.o *.mod *.mod.c .*.cmd Module.symvers modules.order
	find kmod -name '*.o' -o -name '.*.cmd' -o -name '.*.d' | xargs -r rm -f
	$(MAKE) -C userspace clean
	$(MAKE) -C tests/unit clean
	$(MAKE) -C tests/tools clean
	$(MAKE) -C tests/fuzz clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r t d; do printf '  make %-15s %s\n' "$$t" "$$d"; done
