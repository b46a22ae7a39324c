from django.urls import path

from app.workload.orders import views

app_name = "orders"
urlpatterns = [
    path("", views.order_list, name="list"),
    path("<uuid:order_id>/", views.order_detail, name="detail"),
    path("<uuid:order_id>/live/", views.order_live, name="live"),
]
