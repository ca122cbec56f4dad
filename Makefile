# berth: `make` builds, `make demo` shows, `make test` tests. Nothing here needs more than Node with npm, make and a C compiler.
VERSION := $(shell sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
PREFIX ?= /usr/local
LIBDIR = $(PREFIX)/lib/berth/$(VERSION)
NODE_ARCH := $(subst aarch64,arm64,$(subst x86_64,x64,$(shell uname -m)))
NODE := node_modules/node-linux-$(NODE_ARCH)/bin/node

# musl where it is there (Debian: musl-tools): glibc asks the processor what it can do each time a program starts, some twenty traps to the
# hypervisor in a virtual machine, and every verb starts one. The kernel's headers are no part of it. `make CC=cc` for the system's own.
MUSL := $(shell command -v musl-gcc 2>/dev/null)
ifeq ($(origin CC)$(if $(MUSL),,-),default)
CC := musl-gcc -idirafter /usr/include/$(shell cc -print-multiarch) -idirafter /usr/include
endif
# The sanitizers come with the system's.
SAN_CC ?= cc
WARNINGS = -Wall -Wextra -Werror -Wformat=2 -Wshadow -Wstrict-prototypes -Wvla -Wpointer-arith
HARDENING = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fno-plt -Wl,-z,relro,-z,now,-z,noexecstack
CFLAGS = -std=gnu11 -O2 -g $(WARNINGS) $(HARDENING)
LDFLAGS = -static
DEFINES = -DVERSION='"$(VERSION)"' -DBUILD_ID='"$(shell cat build/build-id 2>/dev/null)"'

C_SOURCES := $(wildcard native/*/*.c)
C_HEADERS := $(wildcard native/*/*.h)
TS_SOURCES := $(shell find src shim -name '*.ts' 2>/dev/null)
SCHEMAS := $(wildcard spec-schemas/*)
BUNDLING := scripts/bundle.ts $(wildcard scripts/rehearsal/*.ts)
OBJECTS := $(C_SOURCES:native/%.c=build/native/%.o) build/gen/ops.gen.o
SAN_OBJECTS := $(OBJECTS:build/%=build/san/%)

.PHONY: all install uninstall demo test test-deps check unit integration integration-hand integration-containerd vm sanitized conformance conformance-table soak bench fuzz clean
all: bin/berth bin/containerd-shim-berth-v2 dist/controller.js dist/node dist/berth.8

# ---- what npm gives ----------------------------------------------------------------------------------------------
node_modules/.done: package.json package-lock.json
	# not `npm ci`: it wants the lock file to name optional packages of platforms that a mirror may not carry
	npm install --no-audit --no-fund --loglevel=error
	touch $@

# ---- generated sources -------------------------------------------------------------------------------------------
build/gen/ops.gen.h: src/plan/ops.ts scripts/gen-native.ts node_modules/.done
	@mkdir -p build/gen
	$(NODE) scripts/gen-native.ts
	@touch build/gen/ops.gen.h build/gen/ops.gen.c
build/gen/ops.gen.c: build/gen/ops.gen.h
src/spec/validate.gen.js: $(wildcard spec-schemas/*.schema.json) scripts/gen-validate.ts node_modules/.done
	$(NODE) scripts/gen-validate.ts
src/policy/validate.gen.js: src/spec/validate.gen.js
shim/proto/metrics.gen.js: shim/proto/messages.gen.js
shim/proto/messages.gen.js: $(wildcard spec-schemas/*.proto) scripts/gen-proto.ts node_modules/.done
	@mkdir -p $(@D)
	$(NODE) scripts/gen-proto.ts
GENERATED := build/gen/ops.gen.h src/spec/validate.gen.js src/policy/validate.gen.js shim/proto/messages.gen.js shim/proto/metrics.gen.js

# One id for launcher, monitor, init and controller: the hash of everything they are made from.
build/build-id: $(C_SOURCES) $(C_HEADERS) $(TS_SOURCES) $(SCHEMAS) $(GENERATED) $(BUNDLING) package-lock.json
	@mkdir -p build
	@cat $(sort $^) | sha256sum | cut -c1-16 >$@

# What is compiled against one C library does not go with what was against another.
build/compiler: FORCE
	@mkdir -p build
	@echo '$(CC)' | cmp -s - $@ || echo '$(CC)' >$@
.PHONY: FORCE

# ---- C -----------------------------------------------------------------------------------------------------------
build/native/%.o: native/%.c $(C_HEADERS) build/gen/ops.gen.h build/build-id build/compiler
	@mkdir -p $(@D)
	@echo cc $<
	@$(CC) $(CFLAGS) $(DEFINES) -Ibuild/gen -c $< -o $@
build/gen/%.o: build/gen/%.c $(C_HEADERS) build/gen/ops.gen.h build/compiler
	@$(CC) $(CFLAGS) $(DEFINES) -c $< -o $@
bin/berth: $(OBJECTS)
	mkdir -p bin
	@echo link $@
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@.new
	@mv $@.new $@
bin/containerd-shim-berth-v2: bin/berth
	ln -sfn berth $@

# The same program with the address and undefined-behaviour sanitizers, for tests (they do not link statically).
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
build/san/native/%.o: native/%.c $(C_HEADERS) build/gen/ops.gen.h build/build-id
	@mkdir -p $(@D)
	@$(SAN_CC) -std=gnu11 -O1 -g $(WARNINGS) $(SANITIZE) $(DEFINES) -Ibuild/gen -c $< -o $@
build/san/gen/%.o: build/gen/%.c $(C_HEADERS)
	@mkdir -p $(@D)
	@$(SAN_CC) -std=gnu11 -O1 -g $(WARNINGS) $(SANITIZE) $(DEFINES) -c $< -o $@
build/san/bin/berth: $(SAN_OBJECTS) dist/controller.js dist/node
	@mkdir -p $(@D)
	@$(SAN_CC) -g $(SANITIZE) test/sanitize/options.c $(SAN_OBJECTS) -o $@
	@ln -sfn berth build/san/bin/containerd-shim-berth-v2
	@rm -rf build/san/dist && cp -r dist build/san/dist && ln -sfn ../../../$(NODE) build/san/dist/node
build/san/fuzz-%: test/fuzz/%.c $(filter-out build/san/native/launcher/main.o,$(SAN_OBJECTS))
	@$(SAN_CC) -std=gnu11 -O1 -g $(WARNINGS) $(SANITIZE) -Ibuild/gen -Inative $^ -o $@

# ---- TypeScript --------------------------------------------------------------------------------------------------
dist/controller.js: $(TS_SOURCES) $(GENERATED) build/build-id $(BUNDLING)
	@mkdir -p dist
	$(NODE) scripts/bundle.ts
dist/berth.8: $(TS_SOURCES) $(GENERATED) scripts/gen-man.ts
	@mkdir -p $(@D)
	$(NODE) scripts/gen-man.ts $@
dist/node: | node_modules/.done
	@mkdir -p dist
	ln -sfn ../$(NODE) $@

# ---- install -----------------------------------------------------------------------------------------------------
install: all
	install -d $(DESTDIR)$(LIBDIR)/bin $(DESTDIR)$(LIBDIR)/dist $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0755 bin/berth $(DESTDIR)$(LIBDIR)/bin/berth
	ln -sfn berth $(DESTDIR)$(LIBDIR)/bin/containerd-shim-berth-v2
	rm -f $(DESTDIR)$(LIBDIR)/dist/*
	cd dist && cp $$(cat files) package.json build-id $(abspath $(DESTDIR)$(LIBDIR))/dist/
	install -m 0755 $(NODE) $(DESTDIR)$(LIBDIR)/dist/node
	install -m 0644 dist/berth.8 $(DESTDIR)$(PREFIX)/share/man/man8/berth.8
	ln -sfn $(LIBDIR)/bin/berth $(DESTDIR)$(PREFIX)/bin/berth
	ln -sfn $(LIBDIR)/bin/berth $(DESTDIR)$(PREFIX)/bin/containerd-shim-berth-v2
uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/lib/berth
	rm -f $(DESTDIR)$(PREFIX)/bin/berth $(DESTDIR)$(PREFIX)/bin/containerd-shim-berth-v2 $(DESTDIR)$(PREFIX)/share/man/man8/berth.8

# ---- demo and tests ----------------------------------------------------------------------------------------------
demo: all
	scripts/demo
test-deps: node_modules/.done
	scripts/test-deps
check: node_modules/.done $(GENERATED)
	node_modules/.bin/biome check --error-on-warnings .
	node_modules/.bin/tsc -p .
unit: $(GENERATED)
	$(NODE) --test 'test/unit/**/*.test.ts'
# A test looks at what the host has after it, so they run one after the other; two rows of them side by side where the host lets them not see each other.
TEST := $(NODE) --test --test-timeout=120000 --test-concurrency=1
integration: all
	@$(MAKE) --jobs=$(if $(shell scripts/apart --can && echo 2),2,1) --output-sync=target integration-containerd integration-hand
integration-hand: all
	scripts/apart hand $(TEST) 'test/integration/**/*.test.ts' 'test/security/**/*.test.ts'
integration-containerd: all
	scripts/apart containerd $(TEST) 'test/containerd/**/*.test.ts'
# The same with every process under the sanitizers; what they find is in files, for a monitor has nowhere else to say it.
sanitized: build/san/bin/berth
	rm -f /tmp/berth-sanitizer.*
	BERTH_BIN=$(CURDIR)/build/san/bin $(NODE) --test --test-timeout=120000 --test-concurrency=1 \
	  test/integration/lifecycle.test.ts test/integration/hooks.test.ts test/integration/mounts.test.ts test/integration/idmap.test.ts \
	  test/integration/names-policy.test.ts test/integration/namespaces.test.ts test/integration/policy.test.ts \
	  test/integration/properties.test.ts test/integration/seccomp-notify.test.ts \
	  test/containerd/shim.test.ts test/containerd/stdio.test.ts test/containerd/logger.test.ts test/security/parked.test.ts test/security/S25-pod-mates.test.ts
	@! ls /tmp/berth-sanitizer.* 2>/dev/null || { cat /tmp/berth-sanitizer.*; exit 1; }
conformance: all
	$(NODE) test/conformance/run.ts
# Minutes: runc and crun as well, for docs/conformance.md.
conformance-table: all
	$(NODE) test/conformance/run.ts --table
# What this host may not have (cgroup v2, AppArmor, systemd), in virtual machines.
vm: all
	$(NODE) --test --test-timeout=900000 --test-concurrency=2 'test/vm/*.test.ts'
fuzz: build/san/fuzz-decode build/san/fuzz-containerd build/san/fuzz-dbus build/san/fuzz-netlink build/san/fuzz-clients
	build/san/fuzz-decode 20000
	build/san/fuzz-containerd 20000
	build/san/fuzz-dbus 20000
	build/san/fuzz-netlink 20000
	build/san/fuzz-clients 1000
test: test-deps check unit fuzz integration vm sanitized conformance
soak: all
	$(NODE) --test --test-timeout=3600000 --test-concurrency=1 'test/soak/**/*.test.ts'
# The peers and what they take are Debian's; the newest of them, and a containerd, are unpacked from there (test/containerd/matrix).
bench: all
	scripts/packages containerd runc crun busybox-static gcc libc6-dev patchelf
	scripts/with-hierarchies hugetlb $(NODE) test/bench/bench.ts
	$(NODE) test/bench/policy.ts
clean:
	rm -rf build dist bin src/spec/validate.gen.* src/policy/validate.gen.* shim/proto/*.gen.*
