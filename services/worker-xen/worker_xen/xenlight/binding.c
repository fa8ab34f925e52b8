/* The few lines of C that cffi's words cannot say: a log, unions, and waiting. Compiled by worker_xen.binding. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>

/* What libxl complained of since it was last asked: the beginning, where the reason is. */
typedef struct {
    xentoollog_logger vtable;
    char words[4096];
} xenops_log;

static void xenops_message(xentoollog_logger *logger, xentoollog_level level, int number, const char *context,
                           const char *format, va_list arguments)
{
    xenops_log *log = (xenops_log *)logger;
    size_t used = strlen(log->words);
    if (level < XTL_ERROR || used + 2 >= sizeof log->words)
        return;
    if (used)
        used += snprintf(log->words + used, sizeof log->words - used, "; ");
    vsnprintf(log->words + used, sizeof log->words - used, format, arguments);
    used = strlen(log->words);
    if (number > 0 && used < sizeof log->words)
        snprintf(log->words + used, sizeof log->words - used, ": %s", strerror(number));
}

static void xenops_progress(xentoollog_logger *logger, const char *context, const char *doing, int percent,
                            unsigned long done, unsigned long total)
{
}

static void xenops_destroy(xentoollog_logger *logger)
{
    free(logger);
}

static xenops_log *xenops_log_make(void)
{
    xenops_log *log = calloc(1, sizeof *log);
    if (log) {
        log->vtable.vmessage = xenops_message;
        log->vtable.progress = xenops_progress;
        log->vtable.destroy = xenops_destroy;
    }
    return log;
}

/* Children of the process that are not libxl's are left to whoever made them. */
static const libxl_childproc_hooks xenops_children = {
    .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
};

static libxl_ctx *xenops_open(xenops_log *log)
{
    libxl_ctx *ctx = NULL;
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, (xentoollog_logger *)log))
        return NULL;
    libxl_childproc_setmode(ctx, &xenops_children, NULL);
    return ctx;
}

static void xenops_close(libxl_ctx *ctx, xenops_log *log)
{
    libxl_ctx_free(ctx);
    xtl_logger_destroy((xentoollog_logger *)log);
}

static void xenops_how(libxl_asyncop_how *how, uint64_t number)
{
    memset(how, 0, sizeof *how);
    how->u.for_event = number;
}

/* The next event, or none once `wake` can be read: 0 or an error of libxl's. */
static int xenops_next_event(libxl_ctx *ctx, int wake, libxl_event **event)
{
    struct pollfd fds[65];
    for (;;) {
        int count = 64, timeout = -1, rc;
        struct timeval now;
        *event = NULL;
        rc = libxl_event_check(ctx, event, LIBXL_EVENTMASK_ALL, NULL, NULL);
        if (rc != ERROR_NOT_READY)
            return rc;
        gettimeofday(&now, NULL);
        rc = libxl_osevent_beforepoll(ctx, &count, fds, &timeout, now);
        if (rc)
            return rc;
        fds[count].fd = wake;
        fds[count].events = POLLIN;
        fds[count].revents = 0;
        if (poll(fds, count + 1, timeout) < 0 && errno != EINTR)
            return ERROR_FAIL;
        if (fds[count].revents)
            return 0;
        gettimeofday(&now, NULL);
        libxl_osevent_afterpoll(ctx, count, fds, now);
    }
}

/* Wait until an operation has ended; what else happens on this context is nobody's. */
static int xenops_await(libxl_ctx *ctx, uint64_t number)
{
    for (;;) {
        libxl_event *event = NULL;
        int rc = libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), ended;
        if (rc)
            return rc;
        ended = event->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE && event->for_user == number;
        rc = ended ? event->u.operation_complete.rc : 0;
        libxl_event_free(ctx, event);
        if (ended)
            return rc;
    }
}

static char *xenops_dominfo(libxl_ctx *ctx, uint32_t domid, int *rc)
{
    libxl_dominfo info;
    char *json = NULL;
    libxl_dominfo_init(&info);
    *rc = libxl_domain_info(ctx, &info, domid);
    if (!*rc)
        json = libxl_dominfo_to_json(ctx, &info);
    libxl_dominfo_dispose(&info);
    return json;
}

/* One of all domains; NULL beyond the last. */
static char *xenops_domains(libxl_ctx *ctx, int index, int *count)
{
    libxl_dominfo *all = libxl_list_domain(ctx, count);
    char *json = NULL;
    if (!all)
        *count = -1;
    else if (index < *count)
        json = libxl_dominfo_to_json(ctx, &all[index]);
    if (all)
        libxl_dominfo_list_free(all, *count);
    return json;
}

static char *xenops_version(libxl_ctx *ctx)
{
    const libxl_version_info *info = libxl_get_version_info(ctx);
    return info ? libxl_version_info_to_json(ctx, (libxl_version_info *)info) : NULL;
}

static char *xenops_physinfo(libxl_ctx *ctx)
{
    libxl_physinfo info;
    char *json = NULL;
    libxl_physinfo_init(&info);
    if (!libxl_get_physinfo(ctx, &info))
        json = libxl_physinfo_to_json(ctx, &info);
    libxl_physinfo_dispose(&info);
    return json;
}
