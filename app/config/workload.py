"""Which applications run on the platform. To replace the sample shop, put yours here and delete ``app/workload``."""

#: Django apps; their ``tasks`` modules are found by name.
APPS = [
    "app.workload.payments",
    "app.workload.orders",
    "app.workload.images",
    "app.workload.housekeeping",
    "app.workload.mailings",
    "app.workload.notifications",
    "app.workload.integrations",
    "app.workload.reports",
]

#: Mount point under ``/api`` and the dotted path of its django-ninja router.
API_ROUTERS = {
    "/payments": "app.workload.payments.api.router",
    "/orders": "app.workload.orders.api.router",
    "/products": "app.workload.orders.api.product_router",
    "/images": "app.workload.images.api.router",
    "/mailings": "app.workload.mailings.api.router",
    "/notifications": "app.workload.notifications.api.router",
    "/integrations": "app.workload.integrations.api.router",
    "/reports": "app.workload.reports.api.router",
}

#: Mount point and the dotted path of its Django URLs.
PAGES = {
    "orders/": "app.workload.orders.urls",
    "payments/": "app.workload.payments.urls",
    "images/": "app.workload.images.urls",
    "mailings/": "app.workload.mailings.urls",
    "notifications/": "app.workload.notifications.urls",
    "integrations/": "app.workload.integrations.urls",
    "reports/": "app.workload.reports.urls",
}
