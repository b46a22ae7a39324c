from django.urls import path

from app.workload.images import views

app_name = "images"
urlpatterns = [
    path("", views.gallery, name="list"),
    path("<uuid:image_id>/", views.image_detail, name="detail"),
    path("<uuid:image_id>/thumbnails/<slug:size>/", views.thumbnail, name="thumbnail"),
]
