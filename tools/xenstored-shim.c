/*
 * Preloaded into xenstored or oxenstored, it lets the daemon run without Xen.
 *
 * The daemon opens the hypervisor, an event channel and the memory that it shares with domain 0's kernel. Here
 * these are nothing, an eventfd and a page of a file; no domain but 0 is ever introduced, so nothing else is
 * asked of them. All that it wants of the system's directories it gets in XENSTORED_SHIM_ROOT, so that several
 * daemons, each with a socket of its own there, run beside each other, and nobody need be root.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_BYTES_MAX 1024

static int hypervisor;
static int events = -1;

/* The hypervisor. */

void *xc_interface_open(void *logger, void *domain_builder_logger, unsigned flags) { return &hypervisor; }

int xc_interface_close(void *handle) { return 0; }

/* Every domain lives: who may read a node is asked of those that do. The rest of the structure is not read. */
int xc_domain_getinfo(void *handle, uint32_t first, unsigned count, uint32_t *info)
{
	info[0] = first;
	info[1] = info[2] = info[3] = 0; /* its label, its state, why it has stopped */
	return 1;
}

/* Event channels: none ever fires. */

void *xenevtchn_open(void *logger, unsigned flags)
{
	events = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return events < 0 ? NULL : &events;
}

void *xenevtchn_fdopen(void *logger, int descriptor, unsigned flags) { return xenevtchn_open(logger, flags); }

int xenevtchn_close(void *handle) { return close(events); }

int xenevtchn_fd(void *handle) { return events; }

int xenevtchn_notify(void *handle, uint32_t port) { return 0; }

int xenevtchn_bind_interdomain(void *handle, uint32_t domain, uint32_t port) { return 1; }

int xenevtchn_bind_virq(void *handle, unsigned virq) { return 2; }

int xenevtchn_unbind(void *handle, uint32_t port) { return 0; }

int xenevtchn_unmask(void *handle, uint32_t port) { return 0; }

int xenevtchn_pending(void *handle)
{
	errno = EAGAIN;
	return -1;
}

/* Grant tables. */

void *xengnttab_open(void *logger, unsigned flags) { return &hypervisor; }

int xengnttab_close(void *handle) { return 0; }

int xengnttab_set_max_grants(void *handle, uint32_t count) { return 0; }

/* The system's directories: what is in any of them is in one. */

static const char *const ELSEWHERE[] = {"/proc/xen", "/var/run/xenstored", "/var/run/xen", "/var/log/xen"};

static const char *moved(const char *path, char *buffer)
{
	const char *root = getenv("XENSTORED_SHIM_ROOT");
	for (size_t i = 0; root && path && i < sizeof ELSEWHERE / sizeof *ELSEWHERE; i++) {
		size_t length = strlen(ELSEWHERE[i]);
		if (!strncmp(path, ELSEWHERE[i], length) && (path[length] == '/' || !path[length])) {
			snprintf(buffer, PATH_BYTES_MAX, "%s%s", root, path + length);
			return buffer;
		}
	}
	return path;
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

int open(const char *path, int flags, ...)
{
	char buffer[PATH_BYTES_MAX];
	va_list rest;
	va_start(rest, flags);
	mode_t mode = va_arg(rest, mode_t);
	va_end(rest);
	return NEXT(open)(moved(path, buffer), flags, mode);
}

int open64(const char *path, int flags, ...)
{
	char buffer[PATH_BYTES_MAX];
	va_list rest;
	va_start(rest, flags);
	mode_t mode = va_arg(rest, mode_t);
	va_end(rest);
	return NEXT(open64)(moved(path, buffer), flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
	char buffer[PATH_BYTES_MAX];
	return NEXT(mkdir)(moved(path, buffer), mode);
}

int unlink(const char *path)
{
	char buffer[PATH_BYTES_MAX];
	return NEXT(unlink)(moved(path, buffer));
}

int stat(const char *path, struct stat *found)
{
	char buffer[PATH_BYTES_MAX];
	return NEXT(stat)(moved(path, buffer), found);
}

int access(const char *path, int mode)
{
	char buffer[PATH_BYTES_MAX];
	return NEXT(access)(moved(path, buffer), mode);
}

int chmod(const char *path, mode_t mode)
{
	char buffer[PATH_BYTES_MAX];
	return NEXT(chmod)(moved(path, buffer), mode);
}

int bind(int descriptor, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_un elsewhere = {.sun_family = AF_UNIX};
	char buffer[PATH_BYTES_MAX];
	if (address->sa_family != AF_UNIX)
		return NEXT(bind)(descriptor, address, length);
	const char *path = moved(((const struct sockaddr_un *)address)->sun_path, buffer);
	if (strlen(path) >= sizeof elsewhere.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(elsewhere.sun_path, path);
	return NEXT(bind)(descriptor, (const struct sockaddr *)&elsewhere, sizeof elsewhere);
}

/* Limits that only root may raise. */

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) { return 0; }

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit) { return 0; }
