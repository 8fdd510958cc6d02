//! Local delivery: `delivery.cfg`.

directives! {
    file Delivery;

    /// Who is told when the network fails.
    ADMIN_MAILBOX: text = "(empty)", restart, NotYet("outgoing mail");
    /// Where the delivery service's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/delivery:/etc/gromox", restart, Effective;
    /// Where the delivery service's data files are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/delivery", restart, Effective;
    /// Most memory for queued messages.
    DEQUEUE_MAX_MEM: quantity(0..=MAX) = "1024M", restart, Effective;
    /// Folder of the queue.
    DEQUEUE_PATH: path = "/var/lib/gromox/queue", restart, Effective;
    /// Size of the pool of delivery contexts.
    FREE_CONTEXT_NUM: quantity(0..=MAX) = "512", restart, NoEffect("there is no pool of delivery contexts");
    /// Name of this system in bounces and in EHLO.
    HOST_ID: host_name = "(system hostname)", restart, Effective;
    /// Where the delivery service logs.
    LDA_LOG_FILE: text = "- (auto)", restart, NoEffect("all services log together: set log_file in ringpost.cfg");
    /// How much the delivery service logs, from 1 (critical) to 6 (debug).
    LDA_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, NoEffect("delivery and its front end log together: set lda_log_level in smtp.cfg");
    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
    /// Most threads that deliver.
    WORK_THREADS_MAX: quantity(1..=MAX) = "5", restart, NoEffect("each core delivers: there is no thread pool");
    /// Fewest threads that deliver.
    WORK_THREADS_MIN: quantity(1..=MAX) = "1", restart, NoEffect("each core delivers: there is no thread pool");
}
