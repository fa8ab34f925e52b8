/* What is wanted of libxl, in cffi's words: structures stay closed, values cross as JSON. */

typedef struct libxl__ctx libxl_ctx;
typedef struct { ...; } libxl_asyncop_how;
typedef struct { ...; } libxl_domain_config;
typedef struct { ...; } libxl_device_disk;
typedef struct { ...; } libxl_device_nic;
typedef struct { ...; } libxl_device_pci;
typedef struct { ...; } libxl_dominfo;
typedef struct { ...; } libxl_physinfo;
typedef struct { ...; } libxl_version_info;
typedef struct { uint32_t stream_version; ...; } libxl_domain_restore_params;
typedef struct { uint32_t size; ...; } libxl_bitmap;
typedef struct libxl__evgen_domain_death libxl_evgen_domain_death;

typedef enum { LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, LIBXL_EVENT_TYPE_DOMAIN_DEATH,
               LIBXL_EVENT_TYPE_OPERATION_COMPLETE, ... } libxl_event_type;
typedef struct { uint32_t domid; uint64_t for_user; libxl_event_type type; ...; } libxl_event;
typedef enum { LIBXL_CONSOLE_TYPE_SERIAL, LIBXL_CONSOLE_TYPE_PV, ... } libxl_console_type;
typedef enum { LIBXL_TRIGGER_POWER, LIBXL_TRIGGER_SLEEP, LIBXL_TRIGGER_S3RESUME, ... } libxl_trigger;

#define LIBXL_SUSPEND_LIVE ...
#define ERROR_ABORTED ...
#define ERROR_DOMAIN_NOTFOUND ...
#define ERROR_NOMEM ...

/* Ours: see binding.c. */
typedef struct { char words[4096]; ...; } xenops_log;
xenops_log *xenops_log_make(void);
libxl_ctx *xenops_open(xenops_log *log);
void xenops_close(libxl_ctx *ctx, xenops_log *log);
void xenops_how(libxl_asyncop_how *how, uint64_t number);
int xenops_next_event(libxl_ctx *ctx, int wake, libxl_event **event);
int xenops_await(libxl_ctx *ctx, uint64_t number);
char *xenops_dominfo(libxl_ctx *ctx, uint32_t domid, int *rc);
char *xenops_domains(libxl_ctx *ctx, int index, int *count);
char *xenops_version(libxl_ctx *ctx);
char *xenops_physinfo(libxl_ctx *ctx);

void libxl_domain_config_init(libxl_domain_config *);
void libxl_domain_config_dispose(libxl_domain_config *);
int libxl_domain_config_from_json(libxl_ctx *, libxl_domain_config *, const char *);
void libxl_device_disk_init(libxl_device_disk *);
void libxl_device_disk_dispose(libxl_device_disk *);
int libxl_device_disk_from_json(libxl_ctx *, libxl_device_disk *, const char *);
int libxl_vdev_to_device_disk(libxl_ctx *, uint32_t, const char *vdev, libxl_device_disk *);
void libxl_device_nic_init(libxl_device_nic *);
void libxl_device_nic_dispose(libxl_device_nic *);
int libxl_device_nic_from_json(libxl_ctx *, libxl_device_nic *, const char *);
void libxl_device_pci_init(libxl_device_pci *);
void libxl_device_pci_dispose(libxl_device_pci *);
int libxl_device_pci_from_json(libxl_ctx *, libxl_device_pci *, const char *);
void libxl_domain_restore_params_init(libxl_domain_restore_params *);

int libxl_domain_create_new(libxl_ctx *, libxl_domain_config *, uint32_t *, const libxl_asyncop_how *, void *);
int libxl_domain_create_restore(libxl_ctx *, libxl_domain_config *, uint32_t *, int fd, int back_fd,
                                const libxl_domain_restore_params *, const libxl_asyncop_how *, void *);
int libxl_domain_suspend(libxl_ctx *, uint32_t, int fd, int flags, const libxl_asyncop_how *);
int libxl_domain_resume(libxl_ctx *, uint32_t, int suspend_cancel, const libxl_asyncop_how *);
int libxl_domain_destroy(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_domain_shutdown(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_domain_reboot(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_domain_pause(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_domain_unpause(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_send_trigger(libxl_ctx *, uint32_t, libxl_trigger, uint32_t vcpu, const libxl_asyncop_how *);
int libxl_qemu_monitor_command(libxl_ctx *, uint32_t, const char *, char **, const libxl_asyncop_how *);
int libxl_domain_rename(libxl_ctx *, uint32_t, const char *, const char *);
char *libxl_domid_to_name(libxl_ctx *, uint32_t);
int libxl_ao_abort(libxl_ctx *, const libxl_asyncop_how *);

int libxl_device_disk_add(libxl_ctx *, uint32_t, libxl_device_disk *, const libxl_asyncop_how *);
int libxl_device_disk_remove(libxl_ctx *, uint32_t, libxl_device_disk *, const libxl_asyncop_how *);
int libxl_device_disk_destroy(libxl_ctx *, uint32_t, libxl_device_disk *, const libxl_asyncop_how *);
int libxl_cdrom_insert(libxl_ctx *, uint32_t, libxl_device_disk *, const libxl_asyncop_how *);
int libxl_device_nic_add(libxl_ctx *, uint32_t, libxl_device_nic *, const libxl_asyncop_how *);
int libxl_device_nic_remove(libxl_ctx *, uint32_t, libxl_device_nic *, const libxl_asyncop_how *);
int libxl_device_nic_destroy(libxl_ctx *, uint32_t, libxl_device_nic *, const libxl_asyncop_how *);
int libxl_device_pci_add(libxl_ctx *, uint32_t, libxl_device_pci *, const libxl_asyncop_how *);
int libxl_device_pci_destroy(libxl_ctx *, uint32_t, libxl_device_pci *, const libxl_asyncop_how *);
int libxl_device_pci_assignable_add(libxl_ctx *, libxl_device_pci *, int rebind);

int libxl_set_memory_target(libxl_ctx *, uint32_t, int64_t kib, int relative, int enforce);
int libxl_domain_need_memory(libxl_ctx *, libxl_domain_config *, uint32_t domid_for_logging, uint64_t *kib);
int libxl_get_free_memory(libxl_ctx *, uint64_t *kib);
int libxl_cpu_bitmap_alloc(libxl_ctx *, libxl_bitmap *, int);
void libxl_bitmap_init(libxl_bitmap *);
void libxl_bitmap_set(libxl_bitmap *, int);
void libxl_bitmap_dispose(libxl_bitmap *);
int libxl_set_vcpuonline(libxl_ctx *, uint32_t, libxl_bitmap *, const libxl_asyncop_how *);
int libxl_console_get_tty(libxl_ctx *, uint32_t, int number, libxl_console_type, char **);

typedef struct libxl__xen_console_reader libxl_xen_console_reader;
libxl_xen_console_reader *libxl_xen_console_read_start(libxl_ctx *, int clear);
int libxl_xen_console_read_line(libxl_ctx *, libxl_xen_console_reader *, char **);
void libxl_xen_console_read_finish(libxl_ctx *, libxl_xen_console_reader *);
int libxl_send_debug_keys(libxl_ctx *, char *);

int libxl_evenable_domain_death(libxl_ctx *, uint32_t, uint64_t, libxl_evgen_domain_death **);
void libxl_evdisable_domain_death(libxl_ctx *, libxl_evgen_domain_death *);
void libxl_event_free(libxl_ctx *, libxl_event *);
void free(void *);
